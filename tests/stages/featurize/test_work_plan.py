"""Work units of featurize: the number of images per batch."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pipelines.backbones import load_backbone
from pipelines.stages.featurize.work_plan import WorkUnit

MB = 2**20


@pytest.mark.parametrize(
    ("count", "size", "largest", "rows"),
    [
        (1000, 1000 * MB, MB, 4),  # 4 MB, as a rule
        (1000, 1000 * MB, 20 * MB, 1),  # but 32 MB at most, were all as large as the largest
        (1000, 100 * MB, 8 * MB, 4),
        (1_000_000, 10**9, 2000, 256),  # a thousand bytes each
        (3, 0, 1, 256),  # nothing but empty files
        (2, 400 * MB, 200 * MB, 1),
    ],
)
def test_a_batch_is_4_mb_as_a_rule_and_never_more_than_32(count, size, largest, rows) -> None:
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert WorkUnit(load_backbone("irbis_tiny"), ("irbis_tiny",), count, 0, 0, size, largest, since).batch_rows == rows
