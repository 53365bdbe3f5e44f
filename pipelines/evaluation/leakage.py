"""Leak check: do images that evaluate a model have a near-identical image among those that it learned from?

Groups keep the frames of a trigger on one side of a split, as far as stations and times are known. Where they are not,
near copies lie on both sides and every figure is too high. Two images are called near-identical if the cosine of their
standardised features is at least THRESHOLD and their distance is below NEARER times what is usual around the image,
and among images of its label, in its folder if there are enough: a rare species may form a tight cluster without a
leak. A camera that stands still takes the same blank image every night: blank images are not checked, nor are two
images whose times are known and more than AN_HOUR apart.

With squeezenet1_1 features, splits of frames at random leak: 36 to 68 % of the test images of a Peruvian camera-trap
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
NEARER = 0.5
USUAL = 10, 0.05  # the distance to the 10th nearest image, or to the nearest 5 %, if that is more
AN_HOUR = 3600.0  # seconds
A_FEW = 5  # images of one label and folder
FEWEST = 20  # images to compare with: among fewer nothing can be said to be usual
WARNED = 0.03  # share of the images from which on the figures may be moved
_BLOCK = 256


@dataclass(frozen=True)
class Leakage:
    """Hold how many images were checked, how many have a near-identical image on another side, and the first pair."""

    checked: int
    found: int
    first: tuple[str, str] | None = None

    @property
    def share(self) -> float:
        return self.found / self.checked if self.checked else 0.0

    @property
    def is_worth_a_warning(self) -> bool:
        return self.found > 1 and self.share >= WARNED

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "threshold": THRESHOLD}


def find_leaks(
    features: Floats,
    sides: Ints,
    is_checked: NDArray[np.bool_],
    labels: Sequence[str],
    paths: Sequence[str],
    times: Floats | None = None,
) -> Leakage:
    """Check images against those of another side, such as test against train, or a fold against the others.

    `features` has shape (n, d); `times` are seconds, NaN where unknown. All rows take part in the standardisation.
    Memory is n * d and 256 * n numbers.
    """
    times = np.full(len(labels), np.nan) if times is None else times
    is_checked = is_checked & ~np.array([is_blank(label) for label in labels])
    scaled = _standardised(features)
    squares = np.einsum("ij,ij->i", scaled, scaled)
    _, kinds = np.unique(np.asarray(labels, str), return_inverse=True)
    _, cells = np.unique(
        [f"{label}/{path.rpartition('/')[0]}" for label, path in zip(labels, paths, strict=True)], return_inverse=True
    )
    checked, pairs = 0, []
    for start in range(0, len(rows := np.flatnonzero(is_checked)), _BLOCK):
        block = rows[start : start + _BLOCK]
        products = scaled[block] @ scaled.T
        distances = np.sqrt(np.maximum(squares[block, None] + squares[None] - 2 * products, 0))
        is_other = sides[block, None] != sides[None]
        distances[~is_other] = np.inf
        is_apart = np.abs(times[block, None] - times[None]) > AN_HOUR  # False where one is NaN
        nearest = np.where(is_apart, np.inf, distances).argmin(axis=1)
        own = np.arange(len(block))
        enough = is_other.sum(axis=1) >= FEWEST
        checked += int(enough.sum())
        cosines = products[own, nearest] / np.maximum(np.sqrt(squares[block] * squares[nearest]), 1e-12)
        typical = _typical(distances, *(is_other & (each[block, None] == each[None]) for each in (cells, kinds)))
        limits = NEARER * np.minimum(_usual(distances, is_other), typical)
        is_found = enough & ~is_apart[own, nearest] & (cosines >= THRESHOLD) & (distances[own, nearest] <= limits)
        pairs += [(paths[block[at]], paths[nearest[at]]) for at in np.flatnonzero(is_found)]
    return Leakage(checked, len(pairs), min(pairs, default=None))


def _standardised(features: Floats) -> NDArray[np.float32]:
    """Return features with mean 0 and standard deviation 1; those that hardly vary stay small."""
    values = np.asarray(features, dtype=np.float32)
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.maximum(spread, max(1e-3 * spread.max(), 1e-12)), np.float32)


def _usual(distances: Floats, is_other: NDArray[np.bool_]) -> Floats:
    """Return, for each row, the distance to the nearest tenth or so, whichever label they have."""
    count = is_other.sum(axis=1)
    place = np.minimum(np.maximum(USUAL[0], (USUAL[1] * count).astype(np.int64)), np.maximum(count - 1, 0))
    in_order = np.partition(distances, np.unique(place), axis=1)
    return np.asarray(np.take_along_axis(in_order, place[:, None], axis=1)[:, 0])


def _typical(distances: Floats, in_cell: NDArray[np.bool_], is_like: NDArray[np.bool_]) -> Floats:
    """Return, for each row, the median distance to images of its label; infinite where there are none.

    Those in its folder are enough if there are A_FEW.
    """
    found = np.full(len(distances), np.inf)
    for at in np.flatnonzero(is_like.any(axis=1)):
        chosen = in_cell[at] if in_cell[at].sum() >= A_FEW else is_like[at]
        found[at] = np.median(distances[at, chosen])
    return found
