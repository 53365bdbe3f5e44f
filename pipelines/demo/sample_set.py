"""Render the sample set: images, labels and a few faulty files, the same for the same seed."""

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
from pipelines.demo.layers import HEIGHT, WIDTH
from pipelines.demo.render_frame import Box, draw_frame_with_box, locate_animal
from pipelines.demo.schedule import BLANK, FRAMES, Frame, count_bursts, plan_frames
from pipelines.errors import DataError

RENDERER_VERSION = 1  # increase it when the same seed no longer yields the same images
IMAGES = 504
MIN_IMAGES = 60
MARKER, SCRATCH = "sample_set.json", ".unfinished"


@dataclass(frozen=True)
class SampleSet:
    """The location of a sample set and the numbers of its contents.

    `files` counts everything in `images_folder`: the images and nine extra files: five unusable ones
    (`failures`: one each of empty, not_an_image, truncated, unreadable, too_large), one readable PNG named .JPG,
    two copies of one image with its label, and one copy under another label. `labels` counts the rows of
    labels.csv by label, including extra files; of the unusable files only the truncated one has a label. `boxes_csv`
    has a row for each image with an animal, without the extra files: where it was drawn.
    """

    folder: Path
    images_folder: Path
    labels_csv: Path
    boxes_csv: Path
    seed: int
    images: int  # without the extra files
    files: int
    labels: dict[str, int]
    unlabelled: int  # images without a row in labels.csv, without the extra files
    failures: dict[str, int]
    copies: int  # files whose bytes occur under another path with the same label
    conflicting_hashes: int  # contents that occur under two labels
    bursts: int  # by station, pauses up to 60 s
    encounters: int  # by station, pauses up to 30 min: groups that must not be split


def render_sample_set(
    folder: Path | str,
    *,
    images: int = IMAGES,
    seed: int = 7,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> SampleSet:
    """Render the missing files of the set below `folder`, and return its description.

    `images` is rounded down to whole bursts of three; nine extra files are added. FOLDER/labels.csv has the
    columns path (below FOLDER/images), label, station; FOLDER/boxes.csv path, label, x, y, width, height, in fractions
    of the image, of every animal. `progress` is called with the number of files done. Two
    renders are byte-identical with the same NumPy and Pillow. Raises DataError if the folder contains another
    set, or other files.
    """
    folder = Path(folder)
    if images < MIN_IMAGES:
        raise DataError(f"A sample set of {images} images is too small to train on. Use at least {MIN_IMAGES}.")
    if seed < 0:
        raise DataError(f"The seed of a sample set is {seed}. Use 0 or a larger whole number.")
    frames = plan_frames(images - images % FRAMES, seed)
    extras = corrupt_files(frames)
    sample_set = _describe(folder, seed, frames, extras)
    _check_folder(sample_set)
    planned: list[Frame | CorruptFile] = [*frames, *extras]
    missing = [item for item in planned if not (sample_set.images_folder / item.path).exists()]
    is_marked = (folder / MARKER).exists() and sample_set.labels_csv.exists() and sample_set.boxes_csv.exists()
    if missing or not is_marked or (folder / SCRATCH).exists():
        _render(sample_set, frames, extras, missing, workers, progress)
    return sample_set


def _describe(folder: Path, seed: int, frames: list[Frame], extras: list[CorruptFile]) -> SampleSet:
    labelled = [frame.label for frame in frames if frame.is_labelled]
    return SampleSet(
        folder=folder, images_folder=folder / "images", labels_csv=folder / "labels.csv",
        boxes_csv=folder / "boxes.csv", seed=seed,
        images=len(frames), files=len(frames) + len(extras),
        labels=dict(sorted(Counter([*labelled, *(item.label for item in extras if item.label)]).items())),
        unlabelled=len(frames) - len(labelled),
        failures=dict(sorted(Counter(str(item.failure) for item in extras if item.failure).items())),
        copies=2, conflicting_hashes=1,
        bursts=count_bursts(frames), encounters=len({frame.encounter for frame in frames}),
    )  # fmt: skip


def _parameters(sample_set: SampleSet) -> dict[str, int]:
    return {"renderer": RENDERER_VERSION, "seed": sample_set.seed, "images": sample_set.images}


def _check_folder(sample_set: SampleSet) -> None:
    """Raise DataError if the folder contains another set or other files."""
    folder, requested = sample_set.folder, _parameters(sample_set)
    marker = next((path for path in (folder / MARKER, folder / SCRATCH / MARKER) if path.exists()), None)
    if marker is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} contains files that are not a sample set. Choose an empty or a new folder.")
        return
    try:
        existing = json.loads(marker.read_text())
    except ValueError as error:
        raise DataError(f"{marker} cannot be read ({error}). Delete {folder} and render again.") from error
    if existing != requested:
        raise DataError(
            f"{folder} contains another sample set ({_format_parameters(existing)}; "
            f"requested: {_format_parameters(requested)}). "
            f"Delete it, choose another folder, or request the existing set."
        )


def _format_parameters(parameters: object) -> str:
    pairs = parameters.items() if isinstance(parameters, dict) else []
    return ", ".join(f"{name} {value}" for name, value in pairs) or "unknown"


def _render(
    sample_set: SampleSet,
    frames: list[Frame],
    extras: list[CorruptFile],
    missing: list[Frame | CorruptFile],
    workers: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Render the missing files. The marker is written to the scratch folder first, and beside the complete set last."""
    scratch, marker = sample_set.folder / SCRATCH, json.dumps(_parameters(sample_set)).encode()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{sample_set.folder} cannot be written ({error}). Choose another folder.") from error
    (scratch / MARKER).write_bytes(marker)
    done = sample_set.files - len(missing)
    tasks = [(item, sample_set.images_folder / item.path, scratch) for item in missing if isinstance(item, Frame)]
    boxes: dict[str, Box | None] = {}
    for frame, box in zip((task[0] for task in tasks), _draw_all(tasks, workers), strict=True):
        boxes[frame.path] = box
        done += 1
        if progress:
            progress(done)
    for item in missing:
        if isinstance(item, CorruptFile):
            write_atomic(sample_set.images_folder / item.path, item.make(), scratch)
            done += 1
            if progress:
                progress(done)
    write_atomic(sample_set.labels_csv, _labels_csv(frames, extras), scratch)
    write_atomic(sample_set.boxes_csv, _boxes_csv(frames, boxes), scratch)
    write_atomic(sample_set.folder / MARKER, marker, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


Task = tuple[Frame, Path, Path]


def _draw_all(tasks: list[Task], workers: int) -> Iterator[Box | None]:
    """Draw all images, in this process or in `workers` processes, and yield the box of each, in order."""
    if workers <= 1 or len(tasks) < 2:
        yield from map(_draw, tasks)
        return
    chunk_size = -(-len(tasks) // (workers * 4))  # neighbouring tasks share a scene
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, tasks, chunksize=chunk_size)


def _draw(task: Task) -> Box | None:
    frame, path, scratch = task
    image, box = draw_frame_with_box(frame)
    write_atomic(path, encode_jpeg(image, frame), scratch)
    return box


def _boxes_csv(frames: list[Frame], boxes: dict[str, Box | None]) -> bytes:
    """Return the content of boxes.csv, sorted by path; boxes of images from an earlier run are computed again."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "x", "y", "width", "height"])
    for frame in sorted((frame for frame in frames if frame.label != BLANK), key=lambda frame: frame.path):
        box = boxes[frame.path] if frame.path in boxes else locate_animal(frame)
        assert box is not None
        left, top, right, bottom = box
        values = (left / WIDTH, top / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT)
        writer.writerow([frame.path, frame.label, *(f"{value:.4f}" for value in values)])
    return text.getvalue().encode()


def _labels_csv(frames: list[Frame], extras: list[CorruptFile]) -> bytes:
    """Return the content of labels.csv, sorted by path."""
    rows = [(frame.path, frame.label) for frame in frames if frame.is_labelled]
    rows += [(item.path, item.label) for item in extras if item.label]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "station"])
    writer.writerows((path, label, path.split("/")[0]) for path, label in sorted(rows))
    return text.getvalue().encode()
