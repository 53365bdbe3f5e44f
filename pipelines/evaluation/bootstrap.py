"""Bootstrap over groups: how much would a metric change with another sample of encounters?

Frames of one burst are near copies. Resampling single images counts each copy as new evidence and makes the
interval too narrow. So whole groups are drawn with replacement (cluster bootstrap: Davison and Hinkley, 1997,
section 3.8), and the interval is read from the percentiles of the resampled metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.results import Interval
from pipelines.metrics.base import Floats

if TYPE_CHECKING:  # SciPy takes a second to import, and a served model, which imports this module, does not need it
    from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]

MAX_CELLS = 4_000_000  # elements of one array of a chunk: 32 MB


def resample_groups(groups: int, resamples: int, seed: int, rows: int = 0) -> Iterator[Floats]:
    """Yield chunks of shape (groups, resamples of the chunk): how often each group was drawn.

    `rows` is the longest other axis that the caller multiplies a chunk by; it limits the width of a chunk. The counts
    depend only on the seed, not on the chunk size.
    """
    generator = np.random.default_rng(seed)
    width = max(1, MAX_CELLS // max(groups, rows, 1))
    for start in range(0, resamples, width):
        count = min(width, resamples - start)
        drawn = generator.integers(groups, size=(count, groups), dtype=np.int64)
        drawn += groups * np.arange(count)[:, None]  # one bincount for the whole chunk
        counts = np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups)
        yield np.ascontiguousarray(counts.T, dtype=np.float64)


def counts_by_group(keys: Ints, groups: Ints, shape: tuple[int, int]) -> csr_matrix:
    """Count rows by (key, group). Multiplied by a chunk of draws, the result is the resampled counts by key."""
    from scipy.sparse import coo_matrix

    return coo_matrix((np.ones(len(keys)), (keys, groups)), shape=shape).tocsr()


def percentile_interval(
    value: float, resampled: Floats, groups: int, confidence: float, *, is_proportion: bool = False
) -> Interval:
    """Return the value with its percentile interval.

    `groups` counts the groups that the metric is computed from; with fewer than two there is no interval. Resamples
    in which the metric is undefined (NaN: the class was not drawn) are left out, so the interval is conditional on
    the class being present. A metric that is the same in every resample (no error, or nothing correct) has no
    bootstrap interval: a proportion then gets the exact binomial bound with the groups as trials (Clopper and
    Pearson, 1934), which is .69 for ten groups without an error; other metrics get none.
    """
    if np.isnan(value):
        return Interval(None)
    defined = resampled[~np.isnan(resampled)]
    if groups < 2 or not defined.size:
        return Interval(float(value))
    tail = (1 - confidence) / 2
    low, high = (float(bound) for bound in np.quantile(defined, (tail, 1 - tail)))
    if defined.max() - defined.min() > 1e-12:
        return Interval(float(value), low, high)
    if is_proportion and value in (0.0, 1.0):
        bound = tail ** (1 / groups)
        return Interval(1.0, bound, 1.0) if value else Interval(0.0, 0.0, 1 - bound)
    return Interval(float(value))
