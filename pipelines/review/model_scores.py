"""What the model says of each burst: probabilities of the classes of interest, and the distance from the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.config.settings import Score
from pipelines.evaluation.burst_vote import NO_VOTE
from pipelines.evaluation.review_policy import ReviewPolicy, is_blank
from pipelines.review.columns import Ints, encode, flatten
from pipelines.tracking.model_version import ModelVersion

Floats = NDArray[np.float32]
MAX_VALUES = 100_000_000  # probabilities held at once, 400 MB; beyond, bursts are ordered by their score alone
BLOCK = 2_000_000  # probabilities converted at once


@dataclass(frozen=True)
class Model:
    """The version whose predictions are shown, and what decides whether a burst needs review."""

    version: str
    classes: tuple[str, ...]
    of_interest: tuple[str, ...]  # empty: none in particular, and `review_threshold` decides
    max_weight: float | None
    thresholds: dict[str, float]
    lacking: tuple[str, ...]
    review_threshold: float
    target_recall: float

    @classmethod
    def of(cls, version: ModelVersion, settings: Score) -> Model:
        policy = ReviewPolicy.from_json(version.tags.get("review_policy"))
        is_dismissing = 0 < len(policy.classes_of_interest) < len(version.classes)
        interest = policy.classes_of_interest if is_dismissing else ()
        return cls(
            version.version,
            tuple(version.classes),
            tuple(interest),
            policy.max_weight,
            policy.thresholds(settings.recall_unit, settings.target_recall) if interest else {},
            tuple(policy.classes_without_threshold(settings.recall_unit, settings.target_recall)) if interest else (),
            settings.review_threshold,
            settings.target_recall,
        )

    def is_sought(self, label: str) -> bool:
        """Return whether a label is of interest."""
        return label in self.of_interest if self.of_interest else not is_blank(label)


def dense_probabilities(column: pa.ChunkedArray | pa.Array, classes: tuple[str, ...]) -> Floats | None:
    """Return a map column as an array (rows, classes), 0 where a class is missing; None if it would be too large."""
    array = flatten(column)
    if len(array) * len(classes) > MAX_VALUES:
        return None
    dense = np.zeros((len(array), len(classes)), np.float32)
    step = max(1, BLOCK // max(1, len(classes)))
    for start in range(0, len(array), step):
        part = array.slice(start, step)
        lengths = np.diff(part.offsets.to_numpy())
        first, last = part.offsets[0].as_py(), part.offsets[-1].as_py()
        keys = encode(part.keys.slice(first, last - first))
        columns = np.array([classes.index(name) if name in classes else -1 for name in keys.names.to_pylist()] or [-1])
        rows = start + np.repeat(np.arange(len(part)), lengths)
        target = columns[keys.codes]
        values = part.items.slice(first, last - first).to_numpy(zero_copy_only=False)
        dense[rows[target >= 0], target[target >= 0]] = values[target >= 0]
    return dense


def burst_probabilities(dense: Floats, starts: Ints, weight: float | None) -> Floats:
    """Return the vote of each burst (bursts, classes) over its scored frames, as `score` computes it.

    Rows are sorted by burst, and `starts` are the first rows of the bursts. Without a vote: the maximum of each class.
    """
    is_scored = dense.sum(axis=1) > 0
    counts = np.maximum(np.add.reduceat(is_scored, starts, dtype=np.int64), 1)
    highest = np.maximum.reduceat(dense, starts)
    if weight is NO_VOTE:
        return np.asarray(highest)
    mixed = (1 - weight) * np.add.reduceat(dense, starts) / counts[:, None] + weight * highest
    total = mixed.sum(axis=1, keepdims=True)
    return np.asarray(mixed / np.where(total > 0, total, 1), dtype=np.float32)


def margins(votes: Floats, model: Model) -> Floats:
    """Return how far each burst is from the nearest threshold, as a difference of probabilities."""
    distances = []
    if model.thresholds:
        columns = [model.classes.index(name) for name in model.thresholds]
        distances.append(np.abs(votes[:, columns] - np.array(list(model.thresholds.values()))).min(axis=1))
    if model.lacking or not model.thresholds:
        distances.append(np.abs(votes.max(axis=1) - model.review_threshold))
    return np.asarray(np.min(distances, axis=0), dtype=np.float32)


def sought_probability(votes: Floats, model: Model) -> Floats:
    """Return the probability that a burst shows any class of interest."""
    columns = [i for i, name in enumerate(model.classes) if model.is_sought(name)]
    return np.asarray(votes[:, columns].sum(axis=1), dtype=np.float32)
