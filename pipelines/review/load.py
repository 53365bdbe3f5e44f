"""Load what the page shows: from local Delta tables without Spark, or through Spark where these cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.review.build_snapshot import IMAGE_COLUMNS, LABEL_COLUMNS, PREDICTION_COLUMNS, build_snapshot
from pipelines.review.model_scores import Model
from pipelines.review.snapshot import Snapshot
from pipelines.review.stored_bytes import ReadBytes, StoredBytes
from pipelines.schemas import Decision
from pipelines.tracking.local_champion import find_version, is_local_store
from pipelines.tracking.model_version import ModelVersion
from pipelines.workspace.local_delta import LocalTable, last_local_commit, open_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GetSpark = Callable[[], "SparkSession"]
TABLES = ("images", "predictions", "labels")
NO_IMAGES = "There is no table images in {}. Run `irbis ingest --images DIR` first."


class Versions(NamedTuple):
    """The last commits of the tables, and the model version to show; null: there is none."""

    images: int | None
    predictions: int | None
    labels: int | None
    model: str | None


@dataclass(frozen=True)
class Loaded:
    """The snapshot, how to read the bytes of a row, decisions in the table labels, the model version, and notes."""

    snapshot: Snapshot
    read_bytes: ReadBytes
    decisions: list[Decision]
    version: ModelVersion | None
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """One state of the tables. `predictions` returns null without a table."""

    note: str

    def images(self) -> pa.Table: ...

    def predictions(self, version: ModelVersion) -> pa.Table | None: ...

    def labels(self) -> pa.Table | None: ...

    def reader(self, snapshot: Snapshot) -> ReadBytes: ...


@dataclass(frozen=True)
class Loader:
    """Reads the tables of a workspace. `get_spark` starts Spark, where it is needed."""

    settings: Settings
    workspace: str
    get_spark: GetSpark

    @property
    def is_fast(self) -> bool:
        """Return whether `versions` takes milliseconds, and needs neither Spark nor a server."""
        return self._is_local and is_local_store(self.settings)

    @property
    def _is_local(self) -> bool:
        return not self.settings.tables.schema_ and "://" not in self.workspace

    def versions(self) -> Versions:
        """Return what the page would be loaded from now."""
        if self._is_local:
            numbers = [last_local_commit(Path(self.workspace, "tables", name)) for name in TABLES]
        else:
            spark = self.get_spark()  # before the import: see `start_once`
            from pipelines.workspace.tables import Tables

            tables = Tables.of(spark, self.settings)
            numbers = [tables.version(name) for name in TABLES]
        model = find_version(self.settings)
        return Versions(numbers[0], numbers[1], numbers[2], f"{model} {model.run_id}" if model else None)

    def load(self, shown: ModelVersion | None = None, known: Container[str] = ()) -> Loaded:
        """Load the tables, without the decisions whose id is known. Raises DataError if there are no images.

        The champion's predictions are shown. As long as it has scored fewer images than the version that is `shown`
        now, that one stays: `irbis score` was not run yet, or is at work.
        """
        source, champion = self._open(), find_version(self.settings)
        with ThreadPoolExecutor() as pool:
            images, labels = pool.submit(source.images), pool.submit(source.labels)
            predictions = source.predictions(champion) if champion else None
            snapshot, version = self._build(images.result(), predictions, champion), champion
            if shown and str(shown) != str(champion):
                former = self._build(images.result(), source.predictions(shown), shown)
                if _count_scored(snapshot) < _count_scored(former):
                    snapshot, version = former, shown
        notes = [source.note] if source.note else []
        if version and snapshot.model is None:
            notes.append(f"{version} has not scored the images yet: run `irbis score` to review its predictions.")
            version = None
        return Loaded(snapshot, source.reader(snapshot), _to_decisions(labels.result(), known), version, tuple(notes))

    def load_decisions(self, known: Container[str]) -> list[Decision]:
        """Return the decisions in the table labels whose id is not known."""
        return _to_decisions(self._open().labels(), known)

    def _open(self) -> Source:
        """Return the tables as they are now."""
        if not self._is_local:
            return self._open_with_spark("the tables are not in a local folder")
        try:
            tables = {name: open_local(f"{self.workspace}/tables/{name}") for name in TABLES}
        except ImportError:
            return self._open_with_spark("the package deltalake is not installed")
        except NotImplementedError as error:
            return self._open_with_spark(str(error))
        return _LocalSource(tables, self.workspace)

    def _open_with_spark(self, reason: str) -> Source:
        spark = self.get_spark()  # before the imports: see `start_once`
        from pipelines.review.spark_source import SparkSource
        from pipelines.workspace.tables import Tables

        note = f"The tables are read with Spark ({reason}), which starts more slowly."
        return SparkSource(Tables.of(spark, self.settings), note)

    def _build(self, images: pa.Table, predictions: pa.Table | None, version: ModelVersion | None) -> Snapshot:
        if version is None or predictions is None or not predictions.num_rows:
            return build_snapshot(images, None, None)
        return build_snapshot(images, predictions, Model.of(version, self.settings.score))


class _LocalSource:
    """Tables in a local folder, read without Spark."""

    note = ""

    def __init__(self, tables: dict[str, LocalTable | None], workspace: str) -> None:
        self._images, self._predictions, self._labels = (tables[name] for name in TABLES)
        self._workspace = workspace

    def images(self) -> pa.Table:
        return self._require_images().read(IMAGE_COLUMNS)

    def predictions(self, version: ModelVersion) -> pa.Table | None:
        same = {"model_name": version.name, "model_version": version.version}
        return self._predictions.read(PREDICTION_COLUMNS, same) if self._predictions else None

    def labels(self) -> pa.Table | None:
        return self._labels.read(LABEL_COLUMNS) if self._labels else None

    def reader(self, snapshot: Snapshot) -> ReadBytes:
        table = self._require_images()
        return StoredBytes(table.files, *table.locate(), snapshot.holders).read

    def _require_images(self) -> LocalTable:
        if self._images is None or not self._images.files:
            raise DataError(NO_IMAGES.format(self._workspace))
        return self._images


def _to_decisions(table: pa.Table | None, known: Container[str]) -> list[Decision]:
    """Return the rows of the table labels whose id is not known."""
    if table is None:
        return []
    new = [i for i, decision_id in enumerate(table["decision_id"].to_pylist()) if decision_id not in known]
    batches = table.take(pa.array(new, pa.int64())).to_batches(max_chunksize=10_000)
    return [Decision(**values) for batch in batches for values in batch.to_pylist()]


def _count_scored(snapshot: Snapshot) -> int:
    return int((snapshot.predictions.codes >= 0).sum())
