"""Check what the page sends: decisions, queues and filters. Raises BadRequest, before anything is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pipelines.label_text import canonical_text
from pipelines.review.decisions import Decisions, derive_id
from pipelines.review.queue_names import NAMES
from pipelines.review.queues import Filters, Queues
from pipelines.review.snapshot import Snapshot
from pipelines.schemas import Decision

MAX_BATCH = 200  # decisions, or bursts, in one request
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
    is_model_chosen: bool  # as the page was told: the list of suggestions may have been replaced since


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
                if undone not in known and undone not in decisions:
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
    burst, rows = _rows(item, decisions)
    return Choice(
        _uuid(item, "id"),
        burst,
        rows,
        action,
        _label(item, decisions) if action == "label" else None,
        scope,
        queue,
        _uuid(item, "undoes") if action == "undo" else None,
        _seconds(item.get("seconds")),
        str(_uuid(item, "seen")) if item.get("seen") is not None else None,
        item.get("is_model_chosen") is True,
    )


def _rows(item: Mapping[str, Any], decisions: Decisions) -> tuple[int, tuple[int, ...]]:
    """Return the burst of a choice, and one row of each content that the page showed.

    The burst may have other images by now, or another id: people decide about what they have seen.
    """
    snapshot, shown = decisions.snapshot, item.get("contents")
    if not isinstance(shown, list) or not shown or not all(isinstance(each, str) for each in shown):
        raise BadRequest("contents is a list of content hashes.")
    burst = snapshot.find_burst(_text(item, "burst", 4096))
    rows = [_find_row(snapshot, content_hash, burst) for content_hash in dict.fromkeys(shown)]
    present = tuple(row for row in rows if row is not None)
    if not present:
        raise BadRequest("These images are not in the workspace any more.", 404)
    return burst if burst >= 0 else int(snapshot.burst_of[present[0]]), present


def _find_row(snapshot: Snapshot, content_hash: str, burst: int) -> int | None:
    """Return the readable row of a content, in the burst if it is there; null without one."""
    rows = [int(row) for row in snapshot.rows_of(content_hash) if snapshot.failures.codes[row] < 0]
    return next((row for row in rows if snapshot.burst_of[row] == burst), rows[0] if rows else None)


def _label(item: Mapping[str, Any], decisions: Decisions) -> str:
    """Return the label; one that is known in another case in its known spelling, as train wants one spelling."""
    known = known_labels(decisions)
    if item.get("label") in known:  # of any length
        return str(item["label"])
    label = canonical_text(_text(item, "label", MAX_LABEL))
    if not label:
        raise BadRequest("A label has at least one visible character.")
    if label in known:
        return label
    return next((each for each in known if each.casefold() == label.casefold()), label)


def known_labels(decisions: Decisions) -> list[str]:
    """Return the classes of the model, then the other labels in use."""
    model = decisions.snapshot.model
    return list(dict.fromkeys([*(model.classes if model else ()), *filter(None, decisions.label_names)]))


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
    if texts["day"] and not _is_day(texts["day"]):
        raise BadRequest("day is a date such as 2024-06-30.")
    try:
        start, count = int(query.get("start", "0")), int(query.get("count", "20"))
    except ValueError:
        raise BadRequest("start and count are numbers.") from None
    if start < 0 or not 1 <= count <= MAX_PAGE:
        raise BadRequest(f"start is at least 0, and count 1 to {MAX_PAGE}.")
    return name, Filters(**texts), start, count, query.get("open") == "1"


def _is_day(text: str) -> bool:
    try:
        return bool(DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def parse_bursts(body: Any, snapshot: Snapshot) -> tuple[str, Filters, list[int]]:
    """Return a queue, its filters, and the bursts of a request that are still there."""
    if not isinstance(body, dict) or not isinstance(body.get("bursts"), list):
        raise BadRequest('Expected {"bursts": [...], "queue": "..."}.')
    if len(body["bursts"]) > MAX_BATCH:
        raise BadRequest(f"At most {MAX_BATCH} bursts in one request.", 413)
    name, filters, *_ = parse_page({key: value for key, value in body.items() if isinstance(value, str)})
    numbers = [snapshot.find_burst(_text({"burst": each}, "burst", 4096)) for each in body["bursts"]]
    return name, filters, [number for number in numbers if number >= 0]


def to_decisions(choice: Choice, decisions: Decisions, queues: Queues, reviewer: str) -> list[Decision]:
    """Return the rows of the table labels for a choice, one for each image."""
    snapshot, now = decisions.snapshot, decisions.next_time()
    queue = queues.get(choice.queue, Filters()) if choice.queue == "suggest" else None
    chosen_by_model = queue.chosen_by_model(choice.burst) if queue else choice.queue != "search"
    is_model_chosen = (chosen_by_model or choice.is_model_chosen) and not decisions.group_has_label(choice.burst)
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
