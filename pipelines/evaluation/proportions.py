"""How often something happens at each station, or in each hour, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation.bootstrap import percentile_interval, resample_groups
from pipelines.evaluation.ranking import safe_divide
from pipelines.evaluation.results import Interval

CONFIDENCE = 0.95


def proportion_interval(counts: Sequence[tuple[str, int, int]], resamples: int, seed: int = 0) -> Interval:
    """Give the share of hits among the images of (group, images, hits); groups are drawn with replacement.

    With one group there is no interval; where all or none are hits it is the exact binomial one with the groups as
    trials.
    """
    by_group: dict[str, tuple[int, int]] = {}
    for group, images, hits in counts:
        before = by_group.get(group, (0, 0))
        by_group[group] = before[0] + images, before[1] + hits
    sums = np.array(list(by_group.values()), dtype=np.float64).reshape(-1, 2)
    total, found = sums.sum(axis=0)
    if not total:
        return Interval(None)
    chunks = [
        safe_divide(sums[:, 1] @ drawn, sums[:, 0] @ drawn) for drawn in resample_groups(len(sums), resamples, seed)
    ]
    return percentile_interval(float(found / total), np.concatenate(chunks), len(sums), CONFIDENCE, is_share=True)
