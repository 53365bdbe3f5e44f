"""Render the sample set: images, labels and a few bad files, the same for the same seed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from pipelines.demo.corrupt_files import CorruptFile, corrupt_files
from pipelines.demo.encode import encode_jpeg, write_atomic
from pipelines.demo.render_frame import draw_frame
from pipelines.demo.schedule import FRAMES, Frame, count_bursts, plan_frames
from pipelines.errors import DataError

RENDERER = 1  # raise it when the same seed no longer gives the same images
IMAGES = 504
FEWEST = 60
MARKER, SCRATCH = "sample_set.json", ".unfinished"


@dataclass(frozen=True)
class SampleSet:
    """Say where the set is and how many of each thing are in it.

    `files` is everything in `images_folder`: the images, and nine odd files: five that cannot be
    used (`failures`: one each of empty, not_an_image, truncated, unreadable, too_large), one readable
    PNG named .JPG, two copies of one image with its label, one copy under another label. `labels`
    counts the rows of labels.csv by label, those of odd files included; the truncated file has a label,
    the other four unusable ones have none.
    """

    folder: Path
    images_folder: Path
    labels_csv: Path
    seed: int
    images: int  # drawn, without the odd files
    files: int
    labels: dict[str, int]
    unlabelled: int  # images without a row in labels.csv, without the odd files
    failures: dict[str, int]
    copies: int  # files whose bytes occur under another path with the same label
    conflicting_hashes: int  # contents that occur under two labels
    bursts: int  # by station, pauses up to 60 s
    encounters: int  # by station, pauses up to 30 min: what must not be split


def render_sample_set(
    folder: Path | str,
    *,
    images: int = IMAGES,
    seed: int = 7,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> SampleSet:
    """Render what is missing of the set below `folder`, and say what is in it.

    `images` is rounded down to whole bursts of three; nine odd files come on top.
    FOLDER/labels.csv has the columns path (below FOLDER/images), label, station. `progress` is
    called with the number of files done. Two renders have equal bytes with the same numpy and Pillow.
    Raises DataError where the folder holds another set, or images that are not a set.
    """
    folder = Path(folder)
    if images < FEWEST:
        raise DataError(f"A sample set of {images} images is too small to train on. Give at least {FEWEST}.")
    if seed < 0:
        raise DataError(f"The seed of a sample set is {seed}. Give 0 or a larger whole number.")
    frames = plan_frames(images - images % FRAMES, seed)
    odd = corrupt_files(frames)
    sample_set = _describe(folder, seed, frames, odd)
    _check_folder(sample_set)
    planned: list[Frame | CorruptFile] = [*frames, *odd]
    missing = [thing for thing in planned if not (sample_set.images_folder / thing.path).exists()]
    is_marked = (folder / MARKER).exists() and sample_set.labels_csv.exists()
    if missing or not is_marked or (folder / SCRATCH).exists():
        _render(sample_set, frames, odd, missing, workers, progress)
    return sample_set


def _describe(folder: Path, seed: int, frames: list[Frame], odd: list[CorruptFile]) -> SampleSet:
    labelled = [frame.label for frame in frames if frame.is_labelled]
    return SampleSet(
        folder=folder, images_folder=folder / "images", labels_csv=folder / "labels.csv", seed=seed,
        images=len(frames), files=len(frames) + len(odd),
        labels=dict(sorted(Counter([*labelled, *(thing.label for thing in odd if thing.label)]).items())),
        unlabelled=len(frames) - len(labelled),
        failures=dict(sorted(Counter(str(thing.failure) for thing in odd if thing.failure).items())),
        copies=2, conflicting_hashes=1,
        bursts=count_bursts(frames), encounters=len({frame.encounter for frame in frames}),
    )  # fmt: skip


def _parameters(sample_set: SampleSet) -> dict[str, int]:
    return {"renderer": RENDERER, "seed": sample_set.seed, "images": sample_set.images}


def _check_folder(sample_set: SampleSet) -> None:
    """Refuse a folder that holds another set, or somebody's own images."""
    folder, wanted = sample_set.folder, _parameters(sample_set)
    found = next((mark for mark in (folder / MARKER, folder / SCRATCH / MARKER) if mark.exists()), None)
    if found is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} has files that are no sample set. Choose an empty or a new folder.")
        return
    try:
        there = json.loads(found.read_text())
    except ValueError as error:
        raise DataError(f"{found} cannot be read ({error}). Delete {folder} and render again.") from error
    if there != wanted:
        raise DataError(
            f"{folder} holds another sample set ({_spelled(there)}; asked for: {_spelled(wanted)}). "
            f"Delete it, choose another folder, or ask for the set that is there."
        )


def _spelled(parameters: object) -> str:
    pairs = parameters.items() if isinstance(parameters, dict) else []
    return ", ".join(f"{name} {value}" for name, value in pairs) or "unknown"


def _render(
    sample_set: SampleSet,
    frames: list[Frame],
    odd: list[CorruptFile],
    missing: list[Frame | CorruptFile],
    workers: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Draw the missing files; the marker of a started set comes first, that of a whole set last."""
    scratch, marker = sample_set.folder / SCRATCH, json.dumps(_parameters(sample_set)).encode()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{sample_set.folder} cannot be written ({error}). Choose another folder.") from error
    (scratch / MARKER).write_bytes(marker)
    done = sample_set.files - len(missing)
    tasks = [(thing, sample_set.images_folder / thing.path, scratch) for thing in missing if isinstance(thing, Frame)]
    for _ in _drawn(tasks, workers):
        done += 1
        if progress:
            progress(done)
    for thing in missing:
        if isinstance(thing, CorruptFile):
            write_atomic(sample_set.images_folder / thing.path, thing.make(), scratch)
            done += 1
            if progress:
                progress(done)
    write_atomic(sample_set.labels_csv, _labels(frames, odd), scratch)
    write_atomic(sample_set.folder / MARKER, marker, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


Task = tuple[Frame, Path, Path]


def _drawn(tasks: list[Task], workers: int) -> Iterator[None]:
    """Draw one image after the other, here or in `workers` processes."""
    if workers <= 1 or len(tasks) < 2:
        yield from map(_draw, tasks)
        return
    share = -(-len(tasks) // (workers * 4))  # neighbours share a scene
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, tasks, chunksize=share)


def _draw(task: Task) -> None:
    frame, path, scratch = task
    write_atomic(path, encode_jpeg(draw_frame(frame), frame), scratch)


def _labels(frames: list[Frame], odd: list[CorruptFile]) -> bytes:
    """Give labels.csv, sorted by path."""
    rows = [(frame.path, frame.label) for frame in frames if frame.is_labelled]
    rows += [(thing.path, thing.label) for thing in odd if thing.label]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "station"])
    writer.writerows((path, label, path.split("/")[0]) for path, label in sorted(rows))
    return text.getvalue().encode()
