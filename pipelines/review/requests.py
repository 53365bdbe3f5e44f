"""Check what the page sends: decisions, queues and filters. Raises BadRequest, before anything is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.label_text import canonical_text
from pipelines.review.decisions import Decisions, derive_id
from pipelines.review.queues import NAMES, Filters, Queues
from pipelines.schemas import Decision

MAX_BATCH = 200  # decisions in one request
MAX_LABEL, MAX_TEXT, MAX_PAGE = 100, 500, 100  # characters; bursts
ACTIONS = ("label", "unknown", "skip", "undo")
SCOPES = ("burst", "image")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class BadRequest(Exception):
    """A request that is refused, with its status and a sentence."""

    def __init__(self, message: str, status: int = 422):
        self.message, self.status = message, status
        super().__init__(message)


@dataclass(frozen=True)
class Choice:
    """One key press: what was decided about a burst, or about one image of it."""

    id: uuid.UUID
    burst: int
    rows: tuple[int, ...]
    action: str
    label: str | None
    scope: str
    queue: str
    undoes: uuid.UUID | None
    seconds: float | None
    seen: str | None  # decision in force that the page showed; None: none


def parse_choices(body: Any, decisions: Decisions) -> list[Choice]:
    """Return the choices of a request; all of them, or none."""
    items = body.get("decisions") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise BadRequest('Expected {"decisions": [...]}.')
    if len(items) > MAX_BATCH:
        raise BadRequest(f"At most {MAX_BATCH} decisions in one request.", 413)
    known: set[str] = set()
    choices = []
    for item in items:
        choice = _parse_choice(item, decisions)
        if choice.undoes is not None:
            for row in choice.rows:
                undone = derive_id(choice.undoes, decisions.hash_of(row))
                if undone not in known and not decisions.knows(undone):
                    raise BadRequest("The decision to undo is not known.", 404)
        known |= {derive_id(choice.id, decisions.hash_of(row)) for row in choice.rows}
        choices.append(choice)
    return choices


def _parse_choice(item: Any, decisions: Decisions) -> Choice:
    if not isinstance(item, dict):
        raise BadRequest("A decision is an object.")
    action, scope, queue = (
        _one_of(item, name, allowed) for name, allowed in (("action", ACTIONS), ("scope", SCOPES), ("queue", NAMES))
    )
    burst = decisions.snapshot.find_burst(_text(item, "burst", 4096))
    if burst < 0:
        raise BadRequest("There is no such burst.", 404)
    return Choice(
        _uuid(item, "id"),
        burst,
        _rows(item, scope, burst, decisions),
        action,
        _label(item, decisions) if action == "label" else None,
        scope,
        queue,
        _uuid(item, "undoes") if action == "undo" else None,
        _seconds(item.get("seconds")),
        str(_uuid(item, "seen")) if item.get("seen") is not None else None,
    )


def _rows(item: Mapping[str, Any], scope: str, burst: int, decisions: Decisions) -> tuple[int, ...]:
    """Return the rows of a choice: one of each content."""
    readable = decisions.snapshot.readable_frames(burst)
    if scope == "image":
        wanted = _text(item, "content_hash", 64)
        rows = [row for row in readable if decisions.hash_of(row) == wanted][:1]
        if not rows:
            raise BadRequest("There is no such image in this burst.", 404)
        return tuple(rows)
    if item.get("frames") != len(readable):
        raise BadRequest("The burst has other images than the page showed: reload the page.", 409)
    return tuple({decisions.hash_of(row): row for row in reversed(readable)}.values())[::-1]


def _label(item: Mapping[str, Any], decisions: Decisions) -> str:
    """Return the label; one that is known in another case in its known spelling, as train wants one spelling."""
    label = canonical_text(_text(item, "label", MAX_LABEL))
    if not label:
        raise BadRequest("A label has at least one visible character.")
    model = decisions.snapshot.model
    known = [*(model.classes if model else ()), *filter(None, decisions.label_names)]
    if label in known:
        return label
    return next((each for each in known if each.casefold() == label.casefold()), label)


def _text(item: Mapping[str, Any], name: str, max_length: int) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value or len(value) > max_length:
        raise BadRequest(f"{name} is a text of 1 to {max_length} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        raise BadRequest(f"{name} is not valid Unicode.") from None
    return value


def _one_of(item: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    if item.get(name) not in allowed:
        raise BadRequest(f"{name} is one of {', '.join(allowed)}.")
    return str(item[name])


def _uuid(item: Mapping[str, Any], name: str) -> uuid.UUID:
    try:
        return uuid.UUID(_text(item, name, 36))
    except ValueError:
        raise BadRequest(f"{name} is a UUID.") from None


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(min(value, 86_400)) if is_number and value >= 0 else None


def parse_page(query: Mapping[str, str]) -> tuple[str, Filters, int, int, bool]:
    """Return queue, filters, first position, number of bursts, and whether decided ones are left out."""
    name = query.get("queue", "review")
    if name not in NAMES:
        raise BadRequest(f"queue is one of {', '.join(NAMES)}.")
    texts = {key: query.get(key, "") for key in ("label", "station", "day", "text")}
    if any(len(text) > MAX_TEXT for text in texts.values()):
        raise BadRequest(f"A filter has at most {MAX_TEXT} characters.")
    if texts["day"] and not DAY.fullmatch(texts["day"]):
        raise BadRequest("day is a date such as 2024-06-30.")
    try:
        start, count = int(query.get("start", "0")), int(query.get("count", "20"))
    except ValueError:
        raise BadRequest("start and count are numbers.") from None
    if start < 0 or not 1 <= count <= MAX_PAGE:
        raise BadRequest(f"start is at least 0, and count 1 to {MAX_PAGE}.")
    return name, Filters(**texts), start, count, query.get("open") == "1"


def to_decisions(choice: Choice, decisions: Decisions, queues: Queues, reviewer: str) -> list[Decision]:
    """Return the rows of the table labels for a choice, one for each image."""
    snapshot, now = decisions.snapshot, decisions.next_time()
    queue = queues.get(choice.queue, Filters()) if choice.queue == "suggest" else None
    chosen_by_model = queue.chosen_by_model(choice.burst) if queue else choice.queue != "search"
    is_model_chosen = chosen_by_model and not decisions.group_has_label(choice.burst)
    rows = []
    for row in choice.rows:
        content_hash = decisions.hash_of(row)
        whole = choice.scope == "burst"
        predicted = (snapshot.burst_predictions if whole else snapshot.predictions).text(row)
        score = float((snapshot.burst_scores if whole else snapshot.scores)[row])
        previous = decisions.label_of(row)
        agreed = predicted if predicted is not None else previous
        action = choice.action
        if action == "label":
            action = "confirm" if choice.label == agreed else "correct"
        rows.append(
            Decision(
                derive_id(choice.id, content_hash),
                content_hash,
                snapshot.paths[row].as_py(),
                choice.label,
                action,
                derive_id(choice.undoes, content_hash) if choice.undoes else None,
                choice.scope,
                previous,
                predicted,
                score if predicted is not None else None,
                snapshot.model.version if snapshot.model and predicted is not None else None,
                snapshot.bursts.ids[choice.burst].as_py(),
                snapshot.groups.text(row),
                choice.queue,
                is_model_chosen,
                reviewer,
                now,
                choice.seconds,
                decisions.session,
            )
        )
    return rows
