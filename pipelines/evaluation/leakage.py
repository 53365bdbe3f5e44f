"""Leak check: do evaluation images have a near-identical image among the training images?

Groups keep the frames of a trigger on one side of a split, as far as stations and times are known. Where they are not,
near copies are on both sides and every metric is too high. Two images are near-identical if the cosine of their
standardised features is at least THRESHOLD and their distance is below DISTANCE_RATIO times the usual distance around
the image, and among images of its label, in its folder if there are enough: a rare species may form a tight cluster
without a leak. A fixed camera takes the same blank image every night: blank images are not checked, nor are two images
whose times are known and more than MAX_SECONDS_APART apart.

With squeezenet1_1 features, random splits of frames leak: 36 to 68 % of the test images of a Peruvian camera-trap
set have a near-identical image in train (2 % of a set from tunnels, where voles move between the frames). Splits by
groups: none on both, 1 to 2 % of photos of rubbish, some of which show one object twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats, Ints
from pipelines.evaluation.review_policy import is_blank

THRESHOLD = 0.95
DISTANCE_RATIO = 0.5
NEIGHBOUR_RANK = 10, 0.05  # usual distance: to the 10th nearest image, or to the nearest 5 % if that is more
MAX_SECONDS_APART = 3600.0
MIN_FOLDER_IMAGES = 5  # of one label and folder
MIN_COMPARED = 20  # images to compare with: among fewer there is no usual distance
WARNING_FRACTION = 0.03  # of the images: from here on the metrics may be affected
_BLOCK = 256


@dataclass(frozen=True)
class Leakage:
    """The numbers of images checked and of those with a near-identical image on another side, and the first pair."""

    checked: int
    found: int
    first: tuple[str, str] | None = None

    @property
    def share(self) -> float:
        return self.found / self.checked if self.checked else 0.0

    @property
    def is_worth_a_warning(self) -> bool:
        return self.found > 1 and self.share >= WARNING_FRACTION

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "threshold": THRESHOLD}


def find_leaks(
    features: NDArray[np.floating[Any]],
    sides: Ints,
    is_checked: NDArray[np.bool_],
    labels: Sequence[str],
    paths: Sequence[str],
    times: Floats | None = None,
) -> Leakage:
    """Find images with a near-identical image on another side: train for test, the other folds for a fold.

    `features` has shape (n, d); `times` are seconds, NaN where unknown. All rows are used to standardise the features.
    Memory: n * d and 256 * n numbers.
    """
    times = np.full(len(labels), np.nan) if times is None else times
    is_checked = is_checked & ~np.array([is_blank(label) for label in labels])
    scaled = _standardize(features)
    squares = np.einsum("ij,ij->i", scaled, scaled)
    _, label_codes = np.unique(np.asarray(labels, str), return_inverse=True)
    _, folder_codes = np.unique(
        [f"{label}/{path.rpartition('/')[0]}" for label, path in zip(labels, paths, strict=True)], return_inverse=True
    )
    checked, pairs = 0, []
    for start in range(0, len(rows := np.flatnonzero(is_checked)), _BLOCK):
        block = rows[start : start + _BLOCK]
        products = scaled[block] @ scaled.T
        distances = np.sqrt(np.maximum(squares[block, None] + squares[None] - 2 * products, 0))
        is_other = sides[block, None] != sides[None]
        distances[~is_other] = np.inf
        is_apart = np.abs(times[block, None] - times[None]) > MAX_SECONDS_APART  # False where one is NaN
        nearest = np.where(is_apart, np.inf, distances).argmin(axis=1)
        own = np.arange(len(block))
        has_enough = is_other.sum(axis=1) >= MIN_COMPARED
        checked += int(has_enough.sum())
        cosines = products[own, nearest] / np.maximum(np.sqrt(squares[block] * squares[nearest]), 1e-12)
        in_folder, has_label = (is_other & (codes[block, None] == codes[None]) for codes in (folder_codes, label_codes))
        usual = np.minimum(_neighbour_distances(distances, is_other), _label_distances(distances, in_folder, has_label))
        is_near = (cosines >= THRESHOLD) & (distances[own, nearest] <= DISTANCE_RATIO * usual)
        is_leak = has_enough & ~is_apart[own, nearest] & is_near
        pairs += [(paths[block[i]], paths[nearest[i]]) for i in np.flatnonzero(is_leak)]
    return Leakage(checked, len(pairs), min(pairs, default=None))


def _standardize(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return features with mean 0 and standard deviation 1; nearly constant ones stay small."""
    values = np.asarray(features, dtype=np.float32)
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.maximum(spread, max(1e-3 * spread.max(), 1e-12)), np.float32)


def _neighbour_distances(distances: Floats, is_other: NDArray[np.bool_]) -> Floats:
    """Return, for each row, the distance to its neighbour of rank NEIGHBOUR_RANK, whatever the labels."""
    count = is_other.sum(axis=1)
    rank = np.minimum(
        np.maximum(NEIGHBOUR_RANK[0], (NEIGHBOUR_RANK[1] * count).astype(np.int64)), np.maximum(count - 1, 0)
    )
    in_order = np.partition(distances, np.unique(rank), axis=1)
    return np.asarray(np.take_along_axis(in_order, rank[:, None], axis=1)[:, 0])


def _label_distances(distances: Floats, in_folder: NDArray[np.bool_], has_label: NDArray[np.bool_]) -> Floats:
    """Return, for each row, the median distance to images of its label; infinite where there are none.

    Only those in its folder count if there are at least MIN_FOLDER_IMAGES.
    """
    medians = np.full(len(distances), np.inf)
    for i in np.flatnonzero(has_label.any(axis=1)):
        is_compared = in_folder[i] if in_folder[i].sum() >= MIN_FOLDER_IMAGES else has_label[i]
        medians[i] = np.median(distances[i, is_compared])
    return medians
