"""Export images with their labels and predictions to a format of another program."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import SparkSession

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.exchange.detections import newest_boxes
from pipelines.exchange.filters import Filters
from pipelines.exchange.formats.base import Export, Exported
from pipelines.exchange.formats.registry import get_format
from pipelines.exchange.rows import export_rows, find_images_root, select_rows
from pipelines.formatting import file_name, format_counts, format_duration
from pipelines.spark.runtime import sql_conf, tune_codegen
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables

ROWS_PER_PARTITION = 20_000  # of Export.rows: formats send the driver one partition at a time


@dataclass(frozen=True)
class ExportResult:
    """What was written, and notes for the user."""

    exported: Exported
    folder: Path
    seconds: float
    notes: tuple[str, ...] = ()

    def closing_lines(self) -> list[str]:
        """Return a line for each kind: `export: 8,210 images written, 12 left out (12 without time), 9.1 s; FILES`."""
        *others, (kind, count) = self.exported.written.items()
        left_out = sum(self.exported.left_out.values())
        reasons = f" ({format_counts(self.exported.left_out)})" if left_out else ""
        seconds = format_duration(self.seconds)
        files = ", ".join(map(str, self.exported.files))
        return [
            *[f"export: {count:,} {kind} written" for kind, count in others],
            f"export: {count:,} {kind} written, {left_out:,} left out{reasons}, {seconds}; {files}",
        ]


def export(
    spark: SparkSession, settings: Settings, name: str, folder: Path | None = None, filters: Filters | None = None
) -> ExportResult:
    """Write the images that the filters choose to a folder, in the format of a name; replace files of these names.

    `folder` is on this machine; null: WORKSPACE/exports/NAME. Raises DataError if nothing can be exported.
    """
    start = datetime.now(timezone.utc)
    write = find_exporter(name)
    tables = Tables.of(spark, settings)
    folder = _open_folder(folder, tables, name)
    with sql_conf(spark, spark__sql__session__timeZone="UTC"):
        root = find_images_root(tables, settings)
        merge_journals(tables)
        tune_codegen(spark, count := tables.approximate_count("images"), "export")
        rows, notes = export_rows(tables, settings, root)
        partitions = max(1, math.ceil(count / ROWS_PER_PARTITION))
        rows = rows.repartitionByRange(partitions, "relative_path").sortWithinPartitions("relative_path")
        rows = rows.persist(StorageLevel.DISK_ONLY)
        try:
            wanted = filters or Filters()
            selected, filter_notes = select_rows(rows, wanted)
            title = settings.export.title or settings.sources.dataset or file_name(root)
            boxes = newest_boxes(tables)
            exported = write(Export(selected, folder, settings, start, title, wanted != Filters(), boxes))
        except OSError as error:
            raise DataError(f"{folder} cannot be written ({error}). Choose another folder: --out DIR.") from error
        finally:
            rows.unpersist()
            with suppress(OSError):  # it is empty if nothing was written
                folder.rmdir()
    seconds = (datetime.now(timezone.utc) - start).total_seconds()
    notes = [*journal_notes(tables.workspace), *notes, *filter_notes, *exported.notes]
    return ExportResult(exported, folder, seconds, tuple(notes))


def find_exporter(name: str) -> Callable[[Export], Exported]:
    """Return the export of a format. Raises SettingsError for an unknown name, DataError if it can only be imported."""
    chosen_format = get_format(name)
    if chosen_format.export is None:
        raise DataError(f"{chosen_format.title} can only be imported: irbis import FILE --format {name}.")
    return chosen_format.export


def _open_folder(folder: Path | None, tables: Tables, name: str) -> Path:
    """Return the absolute folder; create it if it is missing."""
    if folder is None and "://" in tables.workspace:
        raise DataError(f"The workspace {tables.workspace} is not on this machine. Give a folder that is: --out DIR.")
    path = folder.expanduser().absolute() if folder else Path(tables.workspace, "exports", name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}). Choose another folder: --out DIR.") from error
    return path
