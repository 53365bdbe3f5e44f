"""Which decisions of people can be stored, and which of them decide a label. Imports no Spark."""

from __future__ import annotations

from pipelines.label_text import canonical_text
from pipelines.schemas import Decision

WITH_LABEL = ("confirm", "correct")
IN_FORCE = (*WITH_LABEL, "unknown")  # actions that decide the label
ACTIONS = (*IN_FORCE, "skip", "undo")


def find_fault(decision: Decision) -> str:
    """Return why a decision cannot be stored, or an empty text."""
    for name in ("decision_id", "content_hash", "path", "reviewed_at"):
        if not getattr(decision, name):
            return f"{name} is missing"
    if decision.reviewed_at and decision.reviewed_at.tzinfo is None:
        return f"reviewed_at = {decision.reviewed_at} has no time zone"
    if decision.action not in ACTIONS:
        return f"action = {decision.action} is none of {', '.join(ACTIONS)}"
    if (decision.action in WITH_LABEL) != bool(canonical_text(decision.label)):
        return f"action = {decision.action} with label = {decision.label}"
    if (decision.action == "undo") != bool(decision.undoes):
        return f"action = {decision.action} with undoes = {decision.undoes}"
    return ""
