"""Load what the page shows: from local Delta tables without Spark, or through Spark where these cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import schemas
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.review.build_snapshot import IMAGE_COLUMNS, PREDICTION_COLUMNS, build_snapshot, snapshot_key
from pipelines.review.model_scores import Model
from pipelines.review.snapshot import Snapshot
from pipelines.review.stored_bytes import StoredBytes
from pipelines.review.thumbnails import ReadBytes, gone
from pipelines.schemas import Decision
from pipelines.tracking.local_champion import find_version
from pipelines.tracking.model_version import ModelVersion
from pipelines.workspace.local_delta import LocalTable, open_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipelines.workspace.tables import Tables

GetSpark = Callable[[], "SparkSession"]
LABEL_COLUMNS = tuple(schemas.parse_ddl(schemas.LABELS))
NO_IMAGES = "There is no table images in {}. Run `irbis ingest --images DIR` first."


@dataclass(frozen=True)
class Loaded:
    """The snapshot, how to read the bytes of a row, the decisions in the table labels, and notes for the user."""

    snapshot: Snapshot
    read_bytes: ReadBytes
    decisions: list[Decision]
    notes: tuple[str, ...] = ()


def load(settings: Settings, workspace: str, get_spark: GetSpark) -> Loaded:
    """Load the tables of a workspace. Raises DataError if it has no images."""
    if settings.tables.schema_ or "://" in workspace:
        return _load_with_spark(settings, workspace, get_spark, "the tables are not in a local folder")
    try:
        tables = {name: open_local(f"{workspace}/tables/{name}") for name in ("images", "predictions", "labels")}
    except ImportError:
        return _load_with_spark(settings, workspace, get_spark, "the package deltalake is not installed")
    except NotImplementedError as error:
        return _load_with_spark(settings, workspace, get_spark, str(error))
    return _load_local(settings, workspace, tables)


def _load_local(settings: Settings, workspace: str, tables: dict[str, LocalTable | None]) -> Loaded:
    images_table, predictions_table, labels_table = tables["images"], tables["predictions"], tables["labels"]
    if images_table is None or not images_table.files:
        raise DataError(NO_IMAGES.format(workspace))
    with ThreadPoolExecutor() as pool:
        images = pool.submit(images_table.read, IMAGE_COLUMNS)
        labels = pool.submit(labels_table.read, LABEL_COLUMNS) if labels_table else None
        version = find_version(settings)
        predictions = None
        if version and predictions_table:
            predictions = predictions_table.read(
                PREDICTION_COLUMNS, {"model_name": version.name, "model_version": version.version}
            )
        stored = list(_to_decisions(labels.result())) if labels else []
        key = snapshot_key(workspace, *[table and table.version for table in tables.values()], version)
        snapshot, notes = _build(images.result(), predictions, version, settings, key)
    reader = StoredBytes(images_table.files, *images_table.locate(), snapshot.holders)
    return Loaded(snapshot, reader.read, stored, tuple(notes))


def _build(
    images: pa.Table, predictions: pa.Table | None, version: ModelVersion | None, settings: Settings, key: str
) -> tuple[Snapshot, list[str]]:
    notes = []
    if version and (predictions is None or not predictions.num_rows):
        notes.append(f"{version} has not scored the images yet: run `irbis score` to review its predictions.")
        version = predictions = None
    model = Model.of(version, settings.score) if version else None
    return build_snapshot(images, predictions, model, key), notes


def _to_decisions(table: pa.Table) -> Iterator[Decision]:
    for batch in table.to_batches(max_chunksize=10_000):
        for values in batch.to_pylist():
            yield Decision(**values)


def _load_with_spark(settings: Settings, workspace: str, get_spark: GetSpark, reason: str) -> Loaded:
    from pipelines.workspace.tables import Tables

    tables = Tables.of(get_spark(), settings)
    tables.require("images")
    images = _collect(tables, "images", IMAGE_COLUMNS)
    version = find_version(settings)
    predictions = None
    if version and tables.exists("predictions"):
        predictions = _collect(tables, "predictions", PREDICTION_COLUMNS)
        same = pc.and_(
            pc.equal(predictions["model_name"], version.name), pc.equal(predictions["model_version"], version.version)
        )
        predictions = predictions.filter(same)
    stored = list(_to_decisions(_collect(tables, "labels", LABEL_COLUMNS)))
    key = snapshot_key(workspace, *[tables.version(name) for name in ("images", "predictions", "labels")], version)
    snapshot, notes = _build(images, predictions, version, settings, key)
    note = f"The tables are read with Spark ({reason}), which starts more slowly."
    return Loaded(snapshot, _SparkBytes(tables, images, snapshot).read, stored, (note, *notes))


def _collect(tables: Tables, name: str, columns: tuple[str, ...]) -> pa.Table:
    """Return columns of a table; times as those of `local_delta`."""
    from pipelines.spark.arrow import collect_arrow

    batches = collect_arrow(tables.read(name).select(*columns))
    if not batches:
        return pa.table({column: pa.nulls(0) for column in columns})
    table = pa.Table.from_batches(batches)
    utc = pa.timestamp("us", tz="UTC")
    fields = [table[c].cast(utc) if pa.types.is_timestamp(table[c].type) else table[c] for c in columns]
    return pa.table(fields, names=list(columns)).combine_chunks()


class _SparkBytes:
    """Reads the bytes of single images with Spark: a query for each, for tables that are not local files."""

    def __init__(self, tables: Tables, images: pa.Table, snapshot: Snapshot) -> None:
        self._tables, self._images, self._snapshot = tables, images, snapshot

    def read(self, row: int) -> bytes:
        from pyspark.sql import functions as F

        holder = int(self._snapshot.holders[row])
        path, moment = self._images["path"][holder].as_py(), self._images["ingested_at"][holder].as_py()
        rows = self._tables.read("images").where((F.col("path") == path) & (F.col("ingested_at") == F.lit(moment)))
        found = rows.select("content").head(1)
        if not found or found[0][0] is None:
            raise gone()
        return bytes(found[0][0])
