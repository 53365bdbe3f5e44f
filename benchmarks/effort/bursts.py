"""The bursts of an image set as a reviewer sees them, and the training set of those that are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from image_sets import ImageSet
from numpy.typing import NDArray

from pipelines.classifiers.training_set import TrainingSet
from pipelines.review.suggest import Candidates

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Bursts:
    """The bursts of a set, in the order of their ids' hash, as `irbis suggest` draws them."""

    def __init__(self, images: ImageSet):
        self.images = images
        names = sorted(set(images.burst_id.tolist()), key=lambda name: sha256(name.encode()).hexdigest())
        number = {name: i for i, name in enumerate(names)}
        self.of_image = np.array([number[name] for name in images.burst_id.tolist()])
        self.sizes = np.bincount(self.of_image)  # images
        _, first = np.unique(self.of_image, return_index=True)
        self.burst_id, self.group_id, self.station = (
            getattr(images, column)[first] for column in ("burst_id", "group_id", "station")
        )
        self.features = self.average(images.features).astype(np.float32)
        self.found = np.bincount(self.of_image, images.label == images.class_of_interest)  # images of the class

    def __len__(self) -> int:
        return len(self.sizes)

    def average(self, values: NDArray[Any]) -> Floats:
        """Return the mean of each column over the images of each burst."""
        columns = [np.bincount(self.of_image, column) / self.sizes for column in values.T]
        return np.stack(columns, axis=1)

    def highest(self, values: Floats) -> Floats:
        """Return the highest value of each burst's images."""
        highest = np.full(len(self), -np.inf)
        np.maximum.at(highest, self.of_image, values)
        return highest

    def candidates(self, rows: Ints, is_labelled: NDArray[np.bool_], probabilities: Floats | None = None) -> Candidates:
        """Return bursts as candidates; `probabilities` are of all bursts."""
        labelled_groups = set(self.group_id[is_labelled].tolist())
        found_groups = set(self.group_id[is_labelled & (self.found > 0)].tolist())
        groups = self.group_id[rows].tolist()
        return Candidates(
            self.burst_id[rows].tolist(),
            groups,
            self.station[rows].tolist(),
            np.array([group in labelled_groups for group in groups], bool),
            np.array([group in found_groups for group in groups], bool),
            self.features[rows],
            None if probabilities is None else probabilities[rows],
        )

    def training_set(self, is_labelled: NDArray[np.bool_]) -> TrainingSet:
        """Return the images of the labelled bursts."""
        return training_set(self.images, np.flatnonzero(is_labelled[self.of_image]))


def training_set(images: ImageSet, rows: Ints) -> TrainingSet:
    table = pd.DataFrame(
        {
            "content_hash": images.content_hash[rows],
            "label": images.label[rows],
            "burst_id": images.burst_id[rows],
            "group_id": images.group_id[rows],
            "split": "train",
        }
    )
    return TrainingSet(table, ArrayStore(images))  # type: ignore[arg-type]


class ArrayStore:
    """The part of FeatureStore that the solver in memory needs, with features that are arrays already."""

    views = ("features",)
    is_loaded = True

    def __init__(self, images: ImageSet):
        self.index, self.features = pd.Index(images.content_hash), images.features

    def fits(self, values: int) -> bool:
        return True

    def load(self, hashes: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self.features[self.index.get_indexer(hashes)]]
