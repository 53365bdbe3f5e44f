"""When a run counts as ended long ago."""

from __future__ import annotations

import pytest

from pipelines.runs.record import is_expired

DAY = 86_400


@pytest.mark.parametrize(
    ("files", "kept", "expected"),
    [
        ([("run.log", 0), ("run.json", 0)], 99, True),
        ([("run.log", 0), ("run.json", 0)], 101, False),
        ([("run.log", 0), ("run.2.log", 0), ("run.json", 0)], 99, True),
        ([("run.log", 0), ("run.json", 0), ("model/MLmodel", 50)], 60, False),
        ([("run.log", 0)], 0, False),
        ([("ingest.json", 0), ("ingest.log", 0), ("score.log", 0)], 0, False),
        ([("run.log", 100 - 8 * DAY)], 0, True),
        ([("run.log", 100 - 8 * DAY), ("cancelled.json", 100)], 0, False),
    ],
)
def test_a_run_without_a_result_counts_as_ended_after_a_week(files, kept, expected):
    assert is_expired("score-20261122-1141-3fa2", files, 100, kept) is expected
