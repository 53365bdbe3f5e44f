"""Proportions, such as of a class at each station or in each hour, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation.bootstrap import percentile_interval, resample_groups
from pipelines.evaluation.ranking import safe_divide
from pipelines.evaluation.results import Interval

CONFIDENCE = 0.95


def proportion_interval(counts: Sequence[tuple[str, int, int]], resamples: int, seed: int = 0) -> Interval:
    """Return hits / images of (group, images, hits), with a bootstrap interval over the groups.

    With one group there is no interval; if all or none are hits, it is the exact binomial interval with the groups as
    trials.
    """
    by_group: dict[str, tuple[int, int]] = {}
    for group, images, hits in counts:
        before = by_group.get(group, (0, 0))
        by_group[group] = before[0] + images, before[1] + hits
    sums = np.array(list(by_group.values()), dtype=np.float64).reshape(-1, 2)
    total, hit_count = sums.sum(axis=0)
    if not total:
        return Interval(None)
    chunks = [
        safe_divide(sums[:, 1] @ drawn, sums[:, 0] @ drawn) for drawn in resample_groups(len(sums), resamples, seed)
    ]
    return percentile_interval(
        float(hit_count / total), np.concatenate(chunks), len(sums), CONFIDENCE, is_proportion=True
    )
