"""Choose the bursts to label next: typical ones without a model, informative or promising ones with one.

Evidence on frozen features, on which this choice rests: Gupte et al. 2024 (arXiv 2401.14555) find centres of clusters
best for a first pool, and uncertainty strong from then on. The diverse share is BADGE (Ash et al. 2020) for a linear
classifier, without its gradients: k-means++ weighted by uncertainty. To find all images of a class, the most probable
ones come first, as in continuous active learning (Cormack and Grossman 2014).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
CENTER, THRESHOLD, MARGIN, PROBABLE, SIBLING = "center", "threshold", "margin", "probable", "sibling"
DIVERSE, RANDOM = "diverse", "random"
MODEL_REASONS = (THRESHOLD, MARGIN, PROBABLE, DIVERSE)  # a model chose the group: see Decision.is_model_chosen
DIVERSE_SHARE, RANDOM_SHARE = 0.25, 0.15  # of the suggestions with a model; the others are the best by its criterion
RANDOM_SHARE_TO_FIND = 0.05  # where a class is looked for; then none are diverse
AUDIT_SALT = "audit:"
LLOYD_ITERATIONS = 10
_EPSILON = 1e-6  # probabilities are compared as logits, of which 0 and 1 have none


@dataclass(frozen=True)
class Candidates:
    """Unlabelled bursts, one per row. Of equal scores the first row is chosen.

    `features` has shape (n, d): the mean over the burst's images. `probabilities` has shape (n, k), or is None without
    a model. `has_labelled_sibling`: another burst of the group has a label; `has_found_sibling`: that of the class that
    is looked for.
    """

    burst_id: Sequence[str]
    group_id: Sequence[str]
    station: Sequence[str]
    has_labelled_sibling: Mask
    has_found_sibling: Mask
    features: NDArray[np.float32]
    probabilities: Floats | None = None

    def __len__(self) -> int:
        return len(self.burst_id)


@dataclass(frozen=True)
class Criterion:
    """What the model contributes: a score of each candidate, the highest first, and its name as a reason."""

    score: Floats
    reason: str


@dataclass(frozen=True)
class Choice:
    """The row of a chosen candidate, and the reason."""

    row: int
    reason: str


def choose(candidates: Candidates, count: int, criterion: Criterion | None = None, seed: int = 0) -> list[Choice]:
    """Return up to `count` choices, in the order in which to look at them.

    One burst of each group is chosen before a second, except siblings of a burst with the class that is looked for:
    they come first. Without a criterion all others are cluster centres; with one they are in part diverse (unless a
    class is looked for) and in part a random audit.
    """
    picks, rng = _Picks(candidates), np.random.default_rng(seed)
    for row in np.flatnonzero(candidates.has_found_sibling)[:count].tolist():
        picks.take(row, SIBLING)
    siblings, count = len(picks.choices), count - len(picks.choices)
    if criterion is None:
        _pick_centers(picks, candidates, count, rng)
        return picks.choices
    finds = criterion.reason == PROBABLE
    random = round((RANDOM_SHARE_TO_FIND if finds else RANDOM_SHARE) * count)
    diverse = 0 if finds else round(DIVERSE_SHARE * count)
    for _ in range(count - random - diverse):
        picks.take_best(criterion.score, criterion.reason)
    _pick_diverse(picks, candidates, diverse, rng)
    audit_rank = np.argsort(np.argsort([audit_key(burst) for burst in candidates.burst_id]))
    for _ in range(random):
        picks.take_best(-audit_rank.astype(np.float64), RANDOM)
    return picks.choices[:siblings] + interleave(picks.choices[siblings:])


def smallest_margin(probabilities: Floats) -> Criterion:
    """Rank by the difference between the two highest probabilities, the smallest first."""
    top = np.sort(probabilities, axis=1)[:, -2:]
    return Criterion(top[:, 0] - top[:, -1], MARGIN)


def nearest_threshold(probabilities: Floats, thresholds: Mapping[int, float]) -> Criterion:
    """Rank by the distance from the nearest operating point, given by class index.

    Distances are between logits: a threshold for a high recall is often below .05, and every certain blank would be
    nearer to it in probability than an animal at .2.
    """
    classes = list(thresholds)
    distances = _logit(probabilities[:, classes]) - _logit(np.array([thresholds[each] for each in classes]))
    return Criterion(-np.abs(distances).min(axis=1), THRESHOLD)


def most_probable(scores: Floats) -> Criterion:
    """Rank by the probability of the class that is looked for, the highest first."""
    return Criterion(scores, PROBABLE)


def audit_key(burst_id: str) -> str:
    """Return the key by which the random audit is drawn: the lowest first."""
    return sha256(f"{AUDIT_SALT}{burst_id}".encode()).hexdigest()


def interleave(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices with all reasons spread evenly, each in its order: whoever stops early has the same shares."""
    by_reason: dict[str, list[Choice]] = {}
    for choice in choices:
        by_reason.setdefault(choice.reason, []).append(choice)
    placed = [
        ((i + 0.5) / len(group), number, choice)
        for number, group in enumerate(by_reason.values())
        for i, choice in enumerate(group)
    ]
    return [choice for _, _, choice in sorted(placed, key=lambda each: each[:2])]


class _Picks:
    """The choices so far. Open are bursts not chosen yet, of the groups with the fewest chosen or labelled bursts."""

    def __init__(self, candidates: Candidates):
        self.choices: list[Choice] = []
        names, self._group = np.unique(np.asarray(candidates.group_id, str), return_inverse=True)
        self._seen = np.zeros(len(names), np.int64)
        self._seen[self._group[candidates.has_labelled_sibling]] = 1
        self._is_left = np.ones(len(candidates), bool)

    def open(self, among: Mask | None = None) -> Mask:
        """Return the mask of open rows, of those in a mask."""
        is_left = self._is_left if among is None else self._is_left & among
        seen = self._seen[self._group]
        return is_left & (seen == seen[is_left].min()) if is_left.any() else is_left

    def take(self, row: int, reason: str) -> None:
        self.choices.append(Choice(row, reason))
        self._seen[self._group[row]] += 1
        self._is_left[row] = False

    def take_best(self, score: Floats, reason: str, among: Mask | None = None) -> None:
        """Take the open row with the highest score, the first of equals; nothing if none is left."""
        rows = np.flatnonzero(self.open(among))
        if len(rows):
            self.take(int(rows[np.argmax(score[rows])]), reason)


def _pick_centers(picks: _Picks, candidates: Candidates, count: int, rng: np.random.Generator) -> None:
    """Take the bursts nearest to the centres of k-means within each station."""
    stations, codes = np.unique(np.asarray(candidates.station, str), return_inverse=True)
    centers = []
    for code, quota in enumerate(divide(count, np.bincount(codes, minlength=len(stations)))):
        is_here = codes == code
        found = cluster(candidates.features[is_here], quota, rng)
        centers += [((i + 0.5) / max(len(found), 1), code, center) for i, center in enumerate(found)]
    for _, code, center in sorted(centers, key=lambda each: each[:2]):  # all stations in turn
        picks.take_best(-squared_distances(candidates.features, center), CENTER, codes == code)


def _pick_diverse(picks: _Picks, candidates: Candidates, count: int, rng: np.random.Generator) -> None:
    """Take bursts by k-means++ weighted by 1 - highest probability, away from those that are taken already."""
    assert candidates.probabilities is not None
    weights = 1 - candidates.probabilities.max(axis=1)
    nearest = np.full(len(candidates), np.inf)
    for choice in picks.choices:
        nearest = np.minimum(nearest, squared_distances(candidates.features, candidates.features[choice.row]))
    for _ in range(count):
        is_open = picks.open()
        if not is_open.any():
            return
        row = _draw(weights * np.where(np.isinf(nearest), 1.0, nearest), is_open, rng)
        picks.take(row, DIVERSE)
        nearest = np.minimum(nearest, squared_distances(candidates.features, candidates.features[row]))


def divide(count: int, sizes: Ints) -> Ints:
    """Return how many of `count` each stratum gets: in proportion to its size, at least one while that is possible."""
    quotas = np.zeros(len(sizes), np.int64)
    for _ in range(min(count, int(sizes.sum()))):  # d'Hondt: to the one with the most members per choice
        claims = sizes / (quotas + 1) + np.where(quotas, 0, sizes.sum())
        quotas[np.argmax(np.where(quotas < sizes, claims, -1))] += 1
    return quotas


def cluster(features: NDArray[np.float32], k: int, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Return up to k centres of k-means, that with the most members first."""
    if not k:
        return []
    first = plus_plus(features, k, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its centre: there are copies
        centers, members = kmeans2(features, features[first], LLOYD_ITERATIONS, minit="matrix")
    sizes = np.bincount(members, minlength=len(centers))
    return [centers[i] for i in np.argsort(-sizes, kind="stable")]


def plus_plus(features: NDArray[np.float32], k: int, rng: np.random.Generator) -> list[int]:
    """Return k different rows by k-means++: each drawn in proportion to its squared distance from the nearest one."""
    rows: list[int] = []
    nearest, is_left = np.ones(len(features)), np.ones(len(features), bool)
    for _ in range(min(k, len(features))):
        rows.append(_draw(nearest, is_left, rng))
        is_left[rows[-1]] = False
        distances = squared_distances(features, features[rows[-1]])
        nearest = np.minimum(nearest, distances) if len(rows) > 1 else distances
    return rows


def squared_distances(features: NDArray[np.float32], point: NDArray[np.floating]) -> Floats:
    """Return the squared distance of every row from a point; exactly 0 for copies."""
    return np.square(features - point).sum(axis=1, dtype=np.float64)


def _draw(weights: Floats, is_open: Mask, rng: np.random.Generator) -> int:
    """Draw one open row in proportion to its weight; if all weights are 0, any open row."""
    odds = np.where(is_open, weights, 0.0)
    odds = odds if odds.sum() else is_open.astype(float)
    return int(rng.choice(len(odds), p=odds / odds.sum()))


def _logit(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
    return np.log(clipped / (1 - clipped))
