"""What a metric is, and the counts that it is computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of the top probability: from `low` (excluded) to `high` (included)."""

    low: float
    high: float
    confidence: float | None  # mean top probability; None: the bin is empty
    accuracy: float | None
    count: int


@dataclass(frozen=True)
class Counts:
    """Counts of a set of images in b bootstrap resamples, the last axis of every array; b = 1: the set itself.

    `confusion` has shape (k true classes, k predicted classes, b). `log_loss_sum` (shape (b,), in nats) and
    `average_precisions` (shape (k, b), NaN without an image of the class) are there where probabilities are known,
    which they are not in the gate. `bins`, by top probability, are there for the set itself alone.
    """

    confusion: Floats
    log_loss_sum: Floats | None = None
    average_precisions: Floats | None = None
    bins: Sequence[ReliabilityBin] = ()

    @cached_property
    def images(self) -> Floats:
        return np.asarray(self.confusion.sum(axis=(0, 1)))

    @cached_property
    def correct(self) -> Floats:
        """Return the correct predictions of each class: shape (k, b)."""
        return np.einsum("iib->ib", self.confusion)

    @cached_property
    def precisions(self) -> Floats:
        """Return the precision of each class, NaN if it was never predicted: shape (k, b)."""
        return safe_divide(self.correct, self._predicted)

    @cached_property
    def recalls(self) -> Floats:
        """Return the recall of each class, NaN without an image of it: shape (k, b)."""
        return safe_divide(self.correct, self._truth)

    @cached_property
    def f1s(self) -> Floats:
        """Return the F1 score of each class, NaN without an image or a prediction of it: shape (k, b)."""
        return safe_divide(2 * self.correct, self._truth + self._predicted)

    @cached_property
    def _truth(self) -> Floats:
        return np.asarray(self.confusion.sum(axis=1))

    @cached_property
    def _predicted(self) -> Floats:
        return np.asarray(self.confusion.sum(axis=0))


@dataclass(frozen=True)
class Metric:
    """One number about a classifier on a set of images.

    `name` is its key in evaluations and settings, and the name of its file. `compute` returns its values by resample,
    shape (b,). `needs` says what it is computed from: "confusion" metrics can decide over the champion, and "bins"
    metrics have no interval. `is_proportion`: the fraction of correct predictions among some images, whose interval
    without an error is the exact binomial one. `unit` is how the report shows it: as percentage, or as decimal number.
    """

    name: str
    title: str
    description: str
    compute: Callable[[Counts], Floats]
    needs: Literal["confusion", "probabilities", "bins"] = "confusion"
    is_proportion: bool = False
    higher_is_better: bool = True
    unit: Literal["percent", "decimal"] = "percent"


def safe_divide(part: Floats, whole: Floats, empty: float = np.nan) -> Floats:
    """Return part / whole, and `empty` where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), empty), where=np.asarray(whole) > 0)
