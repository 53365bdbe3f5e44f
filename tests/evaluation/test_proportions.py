from __future__ import annotations

import pytest

from pipelines.evaluation.proportions import proportion_interval
from pipelines.evaluation.results import Interval


def test_the_share_counts_images_and_its_interval_draws_groups():
    counts = [(f"g{place}", 3, 3 * (place % 4 == 0)) for place in range(40)]
    found = proportion_interval(counts, 2000)
    assert found.value == 0.25
    # 40 independent groups of which a quarter is all hits: a binomial share with a standard error of .0685
    assert found.low == pytest.approx(0.25 - 1.96 * 0.0685, abs=0.03)
    assert found.high == pytest.approx(0.25 + 1.96 * 0.0685, abs=0.03)


def test_rows_of_one_group_count_as_one():
    assert proportion_interval([("a", 3, 3), ("a", 1, 0)], 200) == Interval(0.75)
    assert proportion_interval([("a", 3, 0), ("a", 1, 0)], 200) == Interval(0.0)
    many = proportion_interval([("a", 1, 1), ("b", 1, 0)] * 50, 200)
    assert (many.low, many.high) == (0.0, 1.0)  # two groups, however many images


def test_without_a_hit_the_interval_is_the_exact_one_of_the_groups():
    found = proportion_interval([(f"g{place}", 5, 0) for place in range(10)], 200)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_of_no_image_there_is_no_share():
    assert proportion_interval([], 200) == Interval(None)
