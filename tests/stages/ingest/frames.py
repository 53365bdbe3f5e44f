"""Hand-made rows for assign_bursts: path, time and place of an image."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from pipelines.sources.path_rules import file_series
from pipelines.stages.ingest.bursts import FRAMES, assign_bursts

START = datetime(2014, 7, 1, 15, 22, 0, tzinfo=timezone.utc)
Frame = tuple[str, Any, Any, Any, Any, Any, Any, Any]


def frame(
    path: str,
    seconds: float | None = None,
    camera: str | None = "a",
    *,
    station: str | None = "S",
    sequence: Any = None,
) -> Frame:
    time = None if seconds is None else START + timedelta(seconds=seconds)
    return (path, f"hash of {path}", station, camera, time, sequence, *file_series(path, "none"))


def nowhere(path: str, seconds: float | None = None, **more: Any) -> Frame:
    """Return a frame with unknown station and camera."""
    return frame(path, seconds, None, station=None, **more)


def assigned(spark: Any, *frames: Frame, burst: float = 60, group: float = 30) -> dict[str, tuple[str, str]]:
    """Return path -> burst_id and group_id."""
    rows = spark.createDataFrame(list(frames), FRAMES)
    found = assign_bursts(rows, burst_gap_seconds=burst, group_gap_minutes=group).collect()
    assert len(found) == len(frames)
    return {row["path"]: (row["burst_id"], row["group_id"]) for row in found}
