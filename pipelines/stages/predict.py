"""Predict files and folders with the served model of a version: no Spark, no tables."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.formatting import format_counts, format_duration
from pipelines.serving.predictor import Prediction, Predictor
from pipelines.sources.own_files import OwnFiles
from pipelines.sources.path_rules import allowed_suffixes
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.sources.stores.folder import Folder
from pipelines.stages.export_model import MODEL
from pipelines.stages.result import Stopwatch
from pipelines.tracking.served_files import open_served_model, predictor_folder

FIRST, CHUNK = 8, 64  # images per call; the first call is shorter, so that the first answers come soon
UNKNOWN = "-"  # a dash that every terminal has
MAX_WIDTH = 60  # of the column of names, in characters; longer names shift the rest of their line


@dataclass(frozen=True)
class FoundImages:
    """The images to predict, as paths in the user's own form, and sentences on the files that were skipped."""

    names: list[str]
    notes: list[str]


def find_images(names: Sequence[str], settings: Settings) -> FoundImages:
    """Return the named files, and the images in the named folders, in order.

    A folder's images are those that ingest would read. Raises DataError with all names that do not exist, and if no
    image is found.
    """
    missing = [name for name in names if not os.path.exists(name)]
    if missing:
        raise DataError(f"{printable(name)} does not exist. Give files or folders on this machine." for name in missing)
    found, notes = list[str](), list[str]()
    for name in names:
        if not os.path.isdir(name):
            found.append(name)
            continue
        folder, skipped = Folder(name), SkippedFiles()
        own_files = OwnFiles(settings.workspace, folder.root)
        images = skipped.select_images(folder.list(), allowed_suffixes(settings.sources), folder.peek, own_files)
        below = [os.path.join(name, *image.relative_path.split("/")) for image in images]
        note = skipped.note(len(below))
        notes += [f"{printable(name)}: {text}" for text in [*folder.problems, *([note] if note else [])]]
        found += below
    if not found:
        raise DataError([*notes, "There are no images in what was named. Give image files, or a folder that has some."])
    return FoundImages(found, notes)


@contextmanager
def open_predictor(settings: Settings, exported: Path | None, images: int) -> Iterator[Predictor]:
    """Yield the served model of score.model_version, by default the champion, or the one in an exported folder.

    Many images are decoded in child processes, so that one that crashes or blocks a decoder is a row too; for a few,
    starting these would take longer than the answer. Raises ModelError if there is no model, or if it is damaged.
    """
    isolate = images > FIRST
    if exported is not None:
        with Predictor.load(find_exported(exported), isolate=isolate) as predictor:
            yield predictor
        return
    with (
        open_served_model(settings) as (_, model),
        Predictor.load(predictor_folder(model), isolate=isolate) as predictor,
    ):
        yield predictor


def find_exported(folder: Path) -> Path:
    """Return the folder for `Predictor.load` in an exported folder, or in the MLflow model that it contains."""
    model = predictor_folder(folder)
    return model if model.is_dir() else predictor_folder(folder / MODEL)


def predict(names: Sequence[str], predictor: Predictor) -> Iterator[tuple[str, Prediction]]:
    """Yield each image with its prediction, in order; a failure is a row too."""
    rest, size = iter(names), FIRST
    while chunk := list(islice(rest, size)):
        # URIs, because the name of a file may look like the base64 of an image.
        uris = [Path(os.path.abspath(name)).as_uri() for name in chunk]
        yield from zip(chunk, predictor.predict(uris), strict=True)
        size = CHUNK


@dataclass
class Summary:
    """Counts of the predictions that passed through `count`."""

    version: str
    clock: Stopwatch = field(default_factory=Stopwatch)
    read: int = 0
    to_review: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def count(self, rows: Iterable[tuple[str, Prediction]]) -> Iterator[tuple[str, Prediction]]:
        """Yield the rows unchanged, and count them."""
        for name, row in rows:
            self.read += 1
            self.to_review += row.needs_review and not row.failure
            self.failures.update([row.failure] if row.failure else [])
            yield name, row

    @property
    def is_all_failed(self) -> bool:
        return self.failures.total() == self.read

    def closing_line(self) -> str:
        """Return `predict: irbis/2, 12 read, 1 failed (1 truncated), 3 to review, 1.4 s, 9 images/s`."""
        kinds = f" ({format_counts(self.failures)})" if self.failures else ""
        rate, seconds = self.read / self.clock.seconds, format_duration(self.clock.seconds)
        return (
            f"predict: {self.version}, {self.read:,} read, {self.failures.total():,} failed{kinds}, "
            f"{self.to_review:,} to review, {seconds}, {rate:,.0f} images/s"
        )


def json_lines(rows: Iterable[tuple[str, Prediction]]) -> Iterator[str]:
    """Yield a JSON object for each image, in ASCII: its name, and the columns of the table `predictions`."""
    for name, row in rows:
        yield json.dumps({"image": name, **row._asdict()})


def table_lines(rows: Iterable[tuple[str, Prediction]], names: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table for people. `names` and `labels`, all that may come, determine the widths."""
    width = min(MAX_WIDTH, max(len(printable(name)) for name in ("image", *names)))
    label_width = max(len(printable(label)) for label in ("prediction", *labels))
    yield f"{'image':{width}}  {'prediction':{label_width}}  {'score':>7}"
    for name, row in rows:
        cells = f"{printable(name):{width}}  {printable(row.prediction or UNKNOWN):{label_width}}"
        if row.failure:
            detail = f" ({printable(row.failure_detail)})" if row.failure_detail else ""
            yield f"{cells}  {UNKNOWN:>7}  {row.failure}{detail}"
        else:
            yield f"{cells}  {100 * (row.score or 0):5.1f} %{'  review' if row.needs_review else ''}"


def printable(text: str) -> str:
    """Return a name with all characters escaped that are not visible: controls, directions, bytes of no encoding."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
