"""Queues: which bursts are shown, and in which order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.review.columns import NO_TIME, Ints, rank_within
from pipelines.review.decisions import Decisions

MAX_FILE_BYTES, MAX_ITEMS = 64 * 2**20, 100_000  # of suggestions.json and suspects.json
DAY = 86_400_000_000  # microseconds
FILES = {"suggest": ("suggestions.json", "irbis suggest"), "suspects": ("suspects.json", "irbis train")}


@dataclass(frozen=True)
class Filters:
    """What a queue is narrowed to; empty: everything."""

    label: str = ""
    station: str = ""
    day: str = ""
    text: str = ""


@dataclass(frozen=True)
class Queue:
    """Bursts in order. `reasons` and `is_model_chosen`: by burst, where a file says so; `note`: why it is empty."""

    name: str
    bursts: Ints
    reasons: dict[int, str] = field(default_factory=dict)
    chosen: dict[int, bool] = field(default_factory=dict)
    note: str = ""

    def chosen_by_model(self, burst: int) -> bool:
        """Return whether a model chose the burst for this queue."""
        return self.chosen.get(burst, False) if self.name == "suggest" else self.name != "search"


class Queues:
    """The queues of a snapshot. Those that do not change with decisions are computed once."""

    def __init__(self, decisions: Decisions, folder: Path):
        self._decisions, self._folder = decisions, folder
        self._snapshot = decisions.snapshot
        bursts = self._snapshot.bursts
        pending = bursts.is_readable & bursts.is_scored & ~bursts.is_labelled
        # Where everything has a label already, as in the sample set, the page still shows what the model says.
        self._is_candidate = pending if pending.any() else bursts.is_readable & bursts.is_scored
        self._fixed: dict[str, Queue] = {}

    @property
    def stamp(self) -> str:
        """Return a text that changes when a file of a queue is written."""
        paths = [self._folder / file for file, _ in FILES.values()]
        return "-".join(str(path.stat().st_mtime_ns) if path.is_file() else "" for path in paths)

    @property
    def default(self) -> str:
        """Return the name of the queue to start with."""
        return "review" if self._snapshot.bursts.is_scored.any() else "suggest"

    def get(self, name: str, filters: Filters) -> Queue:
        """Return a queue, narrowed to the filters."""
        if name not in self._fixed and name in ("review", "audit"):
            self._fixed[name] = self._review() if name == "review" else self._audit()
        if name in ("class", "search"):
            queue = self._by_class(filters) if name == "class" else self._by_path(filters)
        elif name in self._fixed:
            queue = self._fixed[name]
        else:
            queue = self._from_file(name)
        is_kept = self._matches(queue.bursts, filters)
        return Queue(queue.name, queue.bursts[is_kept], queue.reasons, queue.chosen, queue.note)

    @cached_property
    def dismissed(self) -> Ints:
        """Return the bursts that the model dismissed, in the order of the audit: a random one that stays."""
        bursts = self._snapshot.bursts
        numbers = np.flatnonzero(self._is_candidate & ~bursts.needs_review)
        return numbers[np.argsort(bursts.order[numbers], kind="stable")]

    @cached_property
    def to_review(self) -> Ints:
        """Return the bursts that need review, the nearest to a threshold first, one of each group before the rest."""
        bursts = self._snapshot.bursts
        numbers = np.flatnonzero(self._is_candidate & bursts.needs_review)
        numbers = numbers[np.lexsort((bursts.order[numbers], bursts.margin[numbers]))]
        ranks = rank_within(bursts.groups[numbers])
        return numbers[np.argsort(ranks, kind="stable")]

    def _review(self) -> Queue:
        return self._of_predictions("review", self.to_review, "No burst needs review.")

    def _audit(self) -> Queue:
        return self._of_predictions("audit", self.dismissed, "The model dismissed no burst: all need review.")

    def _of_predictions(self, name: str, numbers: Ints, none: str) -> Queue:
        """Return a queue of predicted bursts; with `none` as note if there are none."""
        if not self._snapshot.model:
            return Queue(name, numbers, note="There are no predictions yet: run `irbis train`, then `irbis score`.")
        return Queue(name, numbers, note="" if len(numbers) else none)

    def _spread(self) -> Queue:
        """Return the unlabelled bursts, one of each station after the other, at random within a station."""
        snapshot = self._snapshot
        bursts = snapshot.bursts
        unlabelled = bursts.is_readable & ~bursts.is_labelled
        numbers = np.flatnonzero(unlabelled if unlabelled.any() else bursts.is_readable)
        numbers = numbers[np.argsort(bursts.order[numbers], kind="stable")]
        ranks = rank_within(snapshot.stations.codes[bursts.starts[numbers]])
        note = "" if len(numbers) else "There are no readable images: run `irbis ingest --images DIR`."
        return Queue("suggest", numbers[np.argsort(ranks, kind="stable")], note=note)

    def _from_file(self, name: str) -> Queue:
        file, command = FILES[name]
        path = self._folder / file
        if not path.is_file():
            if name == "suggest":
                return self._spread()
            return Queue(name, np.zeros(0, np.int64), note=f"Run `{command}` first: it writes {file}.")
        stamp = f"{name}:{path.stat().st_mtime_ns}"
        if stamp not in self._fixed:
            self._fixed[stamp] = self._read_file(name, path)
        return self._fixed[stamp]

    def _read_file(self, name: str, path: Path) -> Queue:
        command = FILES[name][1]
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"more than {MAX_FILE_BYTES:,} bytes")
            items: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["items"][:MAX_ITEMS]
            found = [(self._find(item), item) for item in items]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            return Queue(name, np.zeros(0, np.int64), note=f"{path} cannot be read ({error}). Run `{command}` again.")
        if not items:
            return Queue(name, np.zeros(0, np.int64), note=f"`{command}` has found nothing to show here.")
        first: dict[int, dict[str, Any]] = {}
        for burst, item in found:
            if burst >= 0:
                first.setdefault(burst, item)
        reasons = {burst: _describe_reason(item) for burst, item in first.items()}
        chosen = {burst: bool(item.get("is_model_chosen")) for burst, item in first.items()}
        note = "" if first else f"None of the images in {path.name} is in the workspace any more. Run `{command}`."
        return Queue(name, np.fromiter(first, np.int64, len(first)), reasons, chosen, note)

    def _find(self, item: dict[str, Any]) -> int:
        rows = self._snapshot.rows_of(str(item["content_hash"]))
        return int(self._snapshot.burst_of[rows[0]]) if len(rows) else -1

    def _by_class(self, filters: Filters) -> Queue:
        snapshot, bursts = self._snapshot, self._snapshot.bursts
        numbers = np.flatnonzero(bursts.is_readable)
        if filters.label:
            names = self._decisions.label_names
            code = names.index(filters.label) if filters.label in names else -2
            has_label = np.logical_or.reduceat(self._decisions.labels == code, bursts.starts[:-1])
            predicted = snapshot.burst_predictions.codes[bursts.best] == snapshot.burst_predictions.find(filters.label)
            numbers = numbers[(has_label | predicted)[numbers]]
        order = np.lexsort((bursts.times[numbers], snapshot.stations.codes[bursts.starts[numbers]])).astype(np.int64)
        return Queue("class", numbers[order], note="" if len(numbers) else "Nothing matches.")

    def _by_path(self, filters: Filters) -> Queue:
        if not filters.text:
            return Queue("search", np.zeros(0, np.int64), note="Type a part of a path.")
        found = pc.match_substring(self._snapshot.paths, filters.text, ignore_case=True)
        rows = np.flatnonzero(found.to_numpy(zero_copy_only=False))
        numbers = np.unique(self._snapshot.burst_of[rows]).astype(np.int64)
        numbers = numbers[self._snapshot.bursts.is_readable[numbers]]
        return Queue("search", numbers, note="" if len(numbers) else "No path contains this text.")

    def _matches(self, numbers: Ints, filters: Filters) -> NDArray[np.bool_]:
        kept = np.ones(len(numbers), bool)
        if filters.station:
            stations = self._snapshot.stations
            kept &= stations.codes[self._snapshot.bursts.starts[numbers]] == stations.find(filters.station)
        if filters.day:
            day = (date.fromisoformat(filters.day) - date(1970, 1, 1)).days
            times = self._snapshot.bursts.times[numbers]
            kept &= (times != NO_TIME) & (times // DAY == day)
        return kept


def _describe_reason(item: dict[str, Any]) -> str:
    """Return why a file has an item; of a suspected label error, which label it may be instead."""
    if item.get("suggested"):
        return f"labelled {item.get('label')}, perhaps {item['suggested']}"
    return str(item.get("reason") or "")
