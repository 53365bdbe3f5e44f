"""What the page shows of a burst, as dictionaries for JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pipelines.formatting import file_name, format_datetime
from pipelines.review.columns import NO_TIME
from pipelines.review.decisions import Decisions
from pipelines.review.queues import Queue
from pipelines.schemas import Decision

MAX_FRAMES = 256  # of a burst that are sent; the page shows eight at once


def describe_burst(
    decisions: Decisions, burst: int, queue: Queue | None = None, position: int | None = None
) -> dict[str, Any]:
    """Return a burst with its frames, prediction, label and decision."""
    snapshot = decisions.snapshot
    bursts, best = snapshot.bursts, int(snapshot.bursts.best[burst])
    readable = snapshot.readable_frames(burst)
    shown = _choose_frames(list(snapshot.frames(burst)), best)
    prediction = snapshot.burst_predictions.text(best)
    decision = decisions.in_force(decisions.hash_of(best))
    labels = sorted({label for row in readable if (label := decisions.label_of(row))})
    return {
        "position": position,
        "burst": bursts.ids[burst].as_py(),
        "station": snapshot.stations.text(best),
        "time": format_time(int(bursts.times[burst])),
        "prediction": prediction,
        "score": round(float(snapshot.burst_scores[best]), 4) if prediction is not None else None,
        "labels": labels,
        "state": "done" if decisions.is_done(burst) else "skipped" if decisions.is_set_aside(burst) else "open",
        "decision": decision and _describe_decision(decision),
        "conflict": [_describe_decision(each) for each in decisions.conflict(burst)],
        "reason": queue.reasons.get(burst, "") if queue else None,
        "is_model_chosen": bool(queue and queue.chosen_by_model(burst)),
        "best": shown.index(best),
        "frames": [_describe_frame(decisions, row) for row in shown],
        "frame_count": bursts.starts[burst + 1].item() - bursts.starts[burst].item(),
        "more": [decisions.hash_of(row) for row in readable if row not in shown],  # a label of the burst is theirs too
    }


def format_time(micros: int) -> str | None:
    """Return a time as 2024-06-30 15:22; None if it is unknown."""
    if micros == NO_TIME:
        return None
    return format_datetime(datetime.fromtimestamp(micros / 1e6, tz=timezone.utc))


def _choose_frames(rows: list[int], best: int) -> list[int]:
    """Return at most MAX_FRAMES rows, with the one that decided."""
    if len(rows) <= MAX_FRAMES or best in rows[:MAX_FRAMES]:
        return rows[:MAX_FRAMES]
    return [*rows[: MAX_FRAMES - 1], best]


def _describe_frame(decisions: Decisions, row: int) -> dict[str, Any]:
    snapshot = decisions.snapshot
    prediction = snapshot.predictions.text(row)
    return {
        "hash": decisions.hash_of(row),
        "name": file_name(snapshot.paths[row].as_py()),
        "label": decisions.label_of(row),
        "decided": bool(decisions.is_decided[row]),
        "prediction": prediction,
        "score": round(float(snapshot.scores[row]), 4) if prediction is not None else None,
        "failure": snapshot.failures.text(row),
    }


def _describe_decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": decision.decision_id,
        "label": decision.label,
        "action": decision.action,
        "reviewer": decision.reviewer,
        "at": decision.reviewed_at.strftime("%Y-%m-%d %H:%M") if decision.reviewed_at else None,
    }
