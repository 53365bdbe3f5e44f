"""A training set: labelled images on the driver, with features that stay in Spark until they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.transformers import FLIPPED_COLUMN
from pipelines.errors import DataError
from pipelines.evaluation.bootstrap import Ints
from pipelines.evaluation.folds import assign_folds
from pipelines.evaluation.group_ids import group_basis
from pipelines.spark.arrow import collect_arrow

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]
MAX_LENGTH = 8192  # more features than any single backbone has
VIEWS = ("features", FLIPPED_COLUMN)  # a model can be trained on each, and predict from each


class FeatureStore:
    """The features of all images of a training set: a query, and on demand arrays on the driver.

    `count` is the number of rows that the query returns.
    """

    def __init__(self, rows: DataFrame, count: int):
        self.rows, self.count = rows, count
        self.views = tuple(name for name in VIEWS if name in rows.columns)
        self._lock = threading.Lock()  # the trials of a sweep share a set
        self._cached: DataFrame | None = None

    def cached(self) -> DataFrame:
        """Return the rows of the query, cached in Spark until `release`."""
        with self._lock:
            if self._cached is None:
                self._cached = self.rows.cache()
            return self._cached

    def release(self) -> None:
        """Release the memory of the features, in Spark and on the driver."""
        with self._lock:
            if self._cached is not None:
                self._cached.unpersist()
            self._cached = None
            self.__dict__.pop("_loaded", None)

    @property
    def is_loaded(self) -> bool:
        """Return whether the arrays are on the driver."""
        return "_loaded" in self.__dict__

    @cached_property
    def length(self) -> int:
        """Return the number of features of an image; 0 without images."""
        if self.is_loaded:
            return self._loaded[1][0].shape[1]
        first = self.rows.select(F.size("features").alias("length")).first()
        return int(first["length"]) if first else 0

    def fits(self, values: int) -> bool:
        """Return whether all rows and views have at most this many feature values.

        Sets that would fit with MAX_LENGTH features are not asked for their number, which would be a query.
        """
        rows = self.count * len(self.views)
        return rows * MAX_LENGTH <= values or rows * self.length <= values

    def load(self, hashes: Sequence[str]) -> list[Features]:
        """Return an array of shape (n, d) for each view, in the order of the content hashes.

        Images without features of the flipped copy have NaN there.
        """
        with self._lock:
            index, arrays = self._loaded
        order = index.get_indexer(hashes)
        return [values[order] for values in arrays]

    @cached_property
    def _loaded(self) -> tuple[pd.Index, list[Features]]:
        batches = collect_arrow(self.rows.select("content_hash", *self.views))
        hashes: list[str] = []
        count = sum(batch.num_rows for batch in batches)
        length = len(batches[0].column(1)[0]) if batches else 0
        arrays = [np.full((count, length), np.nan, np.float32) for _ in self.views]
        for batch in batches:
            rows = slice(len(hashes), len(hashes) + batch.num_rows)
            hashes += batch.column(0).to_pylist()
            for array, column in zip(arrays, batch.columns[1:], strict=True):
                values = column.flatten().to_numpy(zero_copy_only=False)
                array[rows][column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, length)
        for array in arrays:
            _require_finite(array, hashes)
        return pd.Index(hashes), arrays


def _require_finite(array: Features, hashes: Sequence[str]) -> None:
    """Raise DataError for rows with NaN or infinity among their features, other than rows without any."""
    with np.errstate(invalid="ignore", over="ignore"):
        is_unusual = ~np.isfinite(array.sum(axis=1))
    for row in np.flatnonzero(is_unusual).tolist():
        if not np.isnan(array[row]).all() and not np.isfinite(array[row]).all():
            raise DataError(
                f"The features of the image with content hash {hashes[row]} are not finite (NaN or infinity), so no "
                "classifier can be fitted. Remove the image's label, ingest, and train again."
            )


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images, one row per content hash, and the store of their features.

    `images` has the columns content_hash, label, burst_id, group_id, basis (how the group was found), and as far as
    they are known path, split, label_source, is_model_chosen, captured_at (seconds) and fold.
    """

    images: pd.DataFrame
    store: FeatureStore

    @classmethod
    def collect(cls, rows: DataFrame) -> TrainingSet:
        """Return the training set of rows of content_hash, features, label, burst_id, group_id, features unloaded."""
        known = [name for name in ("path", "split", "label_source", "is_model_chosen") if name in rows.columns]
        time = [F.col("captured_at").cast("double").alias("captured_at")] if "captured_at" in rows.columns else []
        basis = group_basis(F.col("group_id")).alias("basis")
        images = rows.select("content_hash", "label", "burst_id", "group_id", basis, *known, *time).toPandas()
        return cls(images.sort_values("content_hash", ignore_index=True), FeatureStore(rows, len(images)))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> list[str]:
        return list(self.images["label"])

    @property
    def classes(self) -> list[str]:
        """Return the labels, each once, in order."""
        return sorted(set(self.images["label"]))

    @property
    def folds(self) -> Ints:
        return self.images["fold"].to_numpy(np.int64)

    def column(self, name: str) -> NDArray[np.object_]:
        return self.images[name].to_numpy(object)

    @property
    def is_model_chosen(self) -> Mask:
        """Return which images are of groups that a model chose for review."""
        return self._flags("is_model_chosen", True)

    @property
    def is_labelled_by_person(self) -> Mask:
        return self._flags("label_source", "person")

    def _flags(self, column: str, value: object) -> Mask:
        if column not in self.images:
            return np.zeros(len(self), bool)
        return np.asarray(self.images[column] == value, bool)

    def count_groups(self) -> int:
        return int(self.images["group_id"].nunique())

    def where(self, mask: Mask) -> TrainingSet:
        """Return the rows of a mask, in their order."""
        return replace(self, images=self.images[mask])

    def with_labels(self, labels: Sequence[str]) -> TrainingSet:
        """Return the rows with one of the labels."""
        return self.where(self.images["label"].isin(list(labels)).to_numpy())

    def in_split(self, *splits: str) -> TrainingSet:
        return self.where(self.images["split"].isin(splits).to_numpy())

    def assign(self, **columns: object) -> TrainingSet:
        """Return the set with columns of `images` added or replaced."""
        return replace(self, images=self.images.assign(**columns))

    def with_folds(self, folds: int, salt: str, unit: str = "group_id") -> TrainingSet:
        """Return the set with folds over the units (`assign_folds`)."""
        assigned = assign_folds(self.labels, list(self.images[unit]), folds, salt)
        return self.assign(fold=assigned)

    def arrays(self) -> list[Features]:
        """Return the features of each view, of shape (n, d); NaN where an image has no flipped copy."""
        return self.store.load(list(self.images["content_hash"]))

    def plain_features(self) -> Features:
        """Return the features of the images as they are, of shape (n, d), without loading those of other images."""
        if self.store.is_loaded:
            return self.arrays()[0]
        part = FeatureStore(self.to_dataframe().select("content_hash", "features"), len(self))
        return part.load(list(self.images["content_hash"]))[0]

    def to_dataframe(self) -> DataFrame:
        """Return the rows of the store's query for these images, with their `fold` if they have one."""
        columns = ["content_hash", *(["fold"] if "fold" in self.images else [])]
        schema = ", ".join(f"{name} {'int' if name == 'fold' else 'string'}" for name in columns)
        source = self.store.cached().drop("fold")
        known = source.sparkSession.createDataFrame(self.images[columns], schema)
        return source.join(known, "content_hash")
