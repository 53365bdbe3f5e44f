"""Import labels, as decisions, and boxes from the file of another program."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.exchange import decisions
from pipelines.exchange.detections import detection_paths, digest_of, staged_detections
from pipelines.exchange.formats.base import Format, Imported
from pipelines.exchange.formats.registry import detect_format, get_format
from pipelines.exchange.matching import MatchedLabels, match_boxes, match_rows
from pipelines.exchange.rows import find_images_root
from pipelines.formatting import format_counts, format_duration, pluralize
from pipelines.label_text import SPELLING_REMEDY, require_one_spelling
from pipelines.spark.arrow import collect_arrow
from pipelines.spark.runtime import sql_conf, tune_codegen
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.labels import effective_images, insert_decisions
from pipelines.workspace.tables import Tables

SHOWN = 10  # paths without an image that are listed
AUTO = "auto"


@dataclass
class ImportResult:
    """What a file has changed, or would change, and notes for the user."""

    file: str
    program: str
    is_dry_run: bool
    matched: int = 0
    unmatched: list[str] = field(default_factory=list)  # paths
    outcomes: Counter[str] = field(default_factory=Counter)  # images with a label, by what it changes
    decisions: int = 0  # to store: identical images share one
    left_out: Counter[str] = field(default_factory=Counter)
    boxes: int | None = None  # to store; null: the file is not one of boxes
    boxes_unmatched: int = 0  # paths of boxes without an image
    boxes_left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """Return the lines to print; the last one is the closing line."""
        labelled = pluralize(self.matched, "image")
        missing = pluralize(len(self.unmatched), "path")
        lines = [f"{self.file} ({self.program}): {labelled} with a label, {missing} without an image"]
        if self.unmatched:
            more = ", ..." if len(self.unmatched) > SHOWN else ""
            lines.append(f"no image for {', '.join(self.unmatched[:SHOWN])}{more}")
        if changes := {name: n for name, n in self.outcomes.items() if name not in decisions.LEFT_OUT}:
            lines.append(f"labels: {format_counts(changes)}")
        what = pluralize(self.decisions, "decision")
        if self.boxes is not None:
            missing = pluralize(self.boxes_unmatched, "path")
            others = self.boxes_left_out
            reasons = f", {others.total():,} left out ({format_counts(others)})" if others else ""
            lines.append(f"boxes: {self.boxes:,} new, {missing} without an image{reasons}")
            what += f" and {pluralize(self.boxes, 'box', 'boxes')}"
        left_out = self.left_out + Counter({name: self.outcomes[name] for name in decisions.LEFT_OUT})
        reasons = f" ({format_counts(left_out)})" if left_out else ""
        verb = "would be stored" if self.is_dry_run else "stored"
        labels = pluralize(left_out.total(), "label")
        lines.append(f"{what} {verb}, {labels} left out{reasons}, {format_duration(self.seconds)}")
        return [f"import: {line}" for line in lines]


def import_file(
    spark: SparkSession,
    settings: Settings,
    file: str,
    format_name: str = AUTO,
    *,
    is_dry_run: bool = False,
    with_machine: bool = False,
) -> ImportResult:
    """Read a file, compare it with the workspace, and store what is new: labels in one commit, boxes in another.

    `with_machine`: also take a model's labels, for images that have none. Nothing is stored before all is read and
    valid. The same file can be imported again, and changes nothing. Raises DataError with every fault.
    """
    start = datetime.now(timezone.utc)
    path = Path(file).expanduser()
    chosen_format = find_format(path, format_name)
    assert chosen_format.read is not None
    tables = Tables.of(spark, settings)
    with sql_conf(spark, spark__sql__session__timeZone="UTC"):
        root = find_images_root(tables, settings)
        imported = chosen_format.read(path, settings)
        merge_journals(tables)
        tune_codegen(spark, tables.approximate_count("images"), "import")
        result = _store(tables, settings, imported, chosen_format.name, path, root, start, is_dry_run, with_machine)
    result.notes = [*journal_notes(tables.workspace), *imported.notes, *result.notes]
    result.seconds = (datetime.now(timezone.utc) - start).total_seconds()
    return result


def find_format(path: Path, name: str) -> Format:
    """Return the format of a name, or that of the file. Raises DataError if the file does not exist."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file. Give the file or folder that the other program wrote.")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is no regular file, and it would be read several times. Save it to a file first.")
    chosen_format = detect_format(path) if name == AUTO else get_format(name)
    if chosen_format.read is None:
        raise DataError(f"{chosen_format.title} can only be exported: irbis export --to {name}.")
    return chosen_format


def _store(
    tables: Tables,
    settings: Settings,
    imported: Imported,
    source: str,
    path: Path,
    root: str,
    now: datetime,
    is_dry_run: bool,
    with_machine: bool,
) -> ImportResult:
    """Match labels and boxes to images, and store them unless it is a dry run."""
    result = ImportResult(path.name, imported.program, is_dry_run)
    result.left_out, result.boxes_left_out = Counter(imported.left_out), Counter(imported.boxes_left_out)
    images = _relative_paths(tables, root)
    labels = match_rows(imported, str(path), images, root, with_machine)
    result.matched, result.unmatched = len(labels.rows), labels.unmatched
    result.left_out += labels.left_out
    result.notes += _describe_ignored(labels, with_machine)
    planned = None
    if len(labels.rows):
        _require_one_spelling(tables, settings, labels.rows["label"])
        given = labels.rows[[part.split()[0] for part in decisions.ROWS.split(", ")]]
        plan = decisions.plan_decisions(tables, settings, given, root, source, path.name, now)
        planned = tables.materialize(plan)
        counted = planned.groupBy("outcome").count().collect()
        result.outcomes = Counter({row["outcome"]: row["count"] for row in counted})
        result.decisions = decisions.decision_rows(planned).count()
        result.notes += _note_stations(tables, labels.rows, root, path.name)
    with ExitStack() as stack:
        boxes = None
        if imported.detections:
            found = match_boxes(detection_paths(imported.detections()), imported, str(path), images, root)
            values = {"source": source, "file": path.name, "file_sha256": digest_of(path)}
            staged = staged_detections(tables, imported.detections, found.images, root, values, now)
            boxes = tables.materialize(stack.enter_context(staged))
            result.boxes, result.boxes_unmatched = boxes.count(), len(found.unmatched)
        if not is_dry_run:
            if planned is not None and result.decisions:
                insert_decisions(tables, decisions.decision_rows(planned))
            if boxes is not None and result.boxes:
                tables.append("detections", boxes)
    return result


def _relative_paths(tables: Tables, root: str) -> list[str]:
    rows = tables.latest_images().where(F.col("path").startswith(root))
    below = rows.select(F.expr(f"substring(path, {len(root) + 1})").alias("path"))
    return [path for batch in collect_arrow(below) for path in batch.column(0).to_pylist()]


def _describe_ignored(labels: MatchedLabels, with_machine: bool) -> list[str]:
    if not labels.ignored or with_machine:
        return []
    count = pluralize(labels.ignored, "label")
    return [f"{count} of a model ignored. Import them for images without a label: --machine."]


def _require_one_spelling(tables: Tables, settings: Settings, labels: pd.Series) -> None:
    """Raise DataError if imported labels differ in case only from each other or from labels in force."""
    if settings.sources.label_case != "refuse":
        return
    given = {str(label): int(n) for label, n in labels.dropna().value_counts().items()}
    counted = effective_images(tables).where("label is not null").groupBy("label").count().collect()
    known = {row["label"]: row["count"] for row in counted}
    lower = {label.lower() for label in given}
    require_one_spelling({label: n for label, n in known.items() if label.lower() in lower} | given, SPELLING_REMEDY)


def _note_stations(tables: Tables, rows: pd.DataFrame, root: str, file: str) -> list[str]:
    """Return a note if stations of the file are not those of the images."""
    if "station" not in rows:
        return []
    given = tables.spark.createDataFrame(rows[["relative_path", "station"]], "relative_path string, given string")
    given = given.where("given is not null").withColumn("path", F.concat(F.lit(root), "relative_path"))
    joined = given.join(tables.latest_images().select("path", "station"), "path")
    count = joined.where(~F.col("given").eqNullSafe(F.col("station"))).count()
    if not count:
        return []
    return [
        f"{pluralize(count, 'image')} with another station in {file}. An import changes labels only; stations are read "
        f"by `irbis ingest --labels {file}`."
    ]
