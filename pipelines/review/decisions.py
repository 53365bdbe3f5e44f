"""Decisions known to the page: those of the table labels, and those of all journals."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np

from pipelines.review.journal import JournalReader, JournalWriter
from pipelines.review.snapshot import Snapshot
from pipelines.schemas import Decision
from pipelines.workspace.decisions import IN_FORCE

PAUSE = 60.0  # seconds between two decisions that do not count as work


class Decisions:
    """All decisions, by id and by content, and what follows from them for the rows of the snapshot.

    Methods may be called from several threads.
    """

    def __init__(self, snapshot: Snapshot, reader: JournalReader, writer: JournalWriter, session: str):
        self.snapshot, self.session = snapshot, session
        self.is_decided = np.zeros(len(snapshot), bool)  # rows on which a person has decided
        self.is_skipped = np.zeros(len(snapshot), bool)  # rows skipped in this session
        self.is_audited = np.zeros(len(snapshot), bool)  # rows whose decision in force was made in the queue audit
        self.labels = snapshot.labels.codes.copy()  # in force: indexes into `label_names`
        self.label_names: list[str] = snapshot.labels.names.to_pylist()
        self.changes: list[int] = []  # bursts, in the order of their changes
        self.count = 0  # decisions of this session in its journal
        self._codes = {name: code for code, name in enumerate(self.label_names)}
        self._by_id: dict[str, Decision] = {}
        self._by_content: dict[str, list[Decision]] = defaultdict(list)
        self._undone: set[str] = set()
        self._unseen: set[str] = set()  # contents decided about without being shown the last decision
        self._times: deque[tuple[datetime, str]] = deque(maxlen=200)
        self._reader, self._writer = reader, writer
        self._last = datetime.min.replace(tzinfo=timezone.utc)
        self.lock = threading.RLock()
        group = snapshot.bursts.groups
        self._by_group = np.argsort(group, kind="stable")
        self._sorted_groups = group[self._by_group]

    def load(self, stored: Iterable[Decision]) -> None:
        """Take over the decisions of the table, then those of the journals."""
        with self.lock:
            for decision in stored:
                self._add(decision)
            self.refresh()

    def take_over(self, former: Decisions) -> None:
        """Know what `former` knows, and continue its session. Its lock must be held, and is that of both from now on.

        Fast if most of it is known already. `changes` starts anew, because bursts have other numbers.
        """
        for decision in former._by_id.values():
            self._add(decision)
        self.lock, self.count = former.lock, former.count
        self._reader, former._reader = former._reader, self._reader  # a line is read once
        self._times, self._unseen = former._times, former._unseen

    def refresh(self) -> None:
        """Take over what other sessions have appended to their journals."""
        with self.lock:
            for decision in self._reader.read_new():
                self._add(decision)

    def append(self, decisions: Sequence[Decision]) -> int:
        """Write the decisions that are not known yet to the journal, and apply them; return how many were new.

        Raises OSError, with none of them written or applied.
        """
        with self.lock:
            new = [each for each in decisions if each.decision_id not in self._by_id]
            if new:
                self._writer.append(new)
                self.count += len(new)
            for decision in new:
                self._add(decision)
            if new:
                self._times.append((new[0].reviewed_at or self._last, new[0].burst_id or ""))
            return len(new)

    def next_time(self) -> datetime:
        """Return the current time, later than that of every decision so far: the newest decision counts."""
        with self.lock:
            self._last = max(datetime.now(timezone.utc), self._last + timedelta(microseconds=1))
            return self._last

    def __contains__(self, decision_id: object) -> bool:
        return decision_id in self._by_id

    def all(self) -> list[Decision]:
        """Return all decisions in the order in which they became known."""
        with self.lock:
            return list(self._by_id.values())

    def in_force(self, content_hash: str) -> Decision | None:
        """Return the newest decision about a content that decides its label and was not undone."""
        standing = self._standing(content_hash)
        return max(standing, key=_age) if standing else None

    def label_of(self, row: int) -> str | None:
        """Return the label in force of a row."""
        code = int(self.labels[row])
        return None if code < 0 else self.label_names[code]

    def is_done(self, burst: int) -> bool:
        """Return whether a person has decided on every readable frame."""
        return all(self.is_decided[row] for row in self.snapshot.readable_frames(burst))

    def is_set_aside(self, burst: int) -> bool:
        """Return whether every readable frame is decided, or was skipped in this session."""
        rows = self.snapshot.readable_frames(burst)
        return all(self.is_decided[row] or self.is_skipped[row] for row in rows)

    def done_bursts(self) -> np.ndarray:
        """Return for each burst whether a person has decided on every readable frame."""
        return self._all_frames(self.is_decided)

    def set_aside_bursts(self) -> np.ndarray:
        """Return for each burst whether it is decided or skipped."""
        return self._all_frames(self.is_decided | self.is_skipped)

    def conflict(self, burst: int) -> list[Decision]:
        """Return the standing decisions of different sessions that disagree about a frame, the newest first."""
        for row in self.snapshot.frames(burst):
            standing = sorted(self._standing(self.hash_of(row)), key=_age, reverse=True)
            newest = {each.session: each for each in reversed(standing)}  # the newest of each session
            if len({each.label for each in newest.values()}) > 1:
                return sorted(newest.values(), key=_age, reverse=True)
            if self.hash_of(row) in self._unseen and len({each.label for each in standing}) > 1:
                return standing[:2]
        return []

    def note_unseen(self, burst: int, seen: str | None) -> None:
        """Record that a window decided on a burst without having been shown the decision in force.

        `seen` is the id that it was shown, or that of its own choice, a UUID too.
        """
        row = int(self.snapshot.bursts.best[burst])
        current = self.in_force(self.hash_of(row))
        if current is None or current.session != self.session or seen == current.decision_id:
            return
        if seen is None or current.decision_id != derive_id(seen, current.content_hash):
            self._unseen.add(current.content_hash)

    def group_has_label(self, burst: int) -> bool:
        """Return whether any image of the burst's group has a label, of the source or of a person."""
        group = self.snapshot.bursts.groups[burst]
        first, last = (np.searchsorted(self._sorted_groups, group, side=side) for side in ("left", "right"))
        bursts = self._by_group[first:last]
        starts = self.snapshot.bursts.starts
        return any((self.labels[starts[each] : starts[each + 1]] >= 0).any() for each in bursts)

    def rate(self) -> float | None:
        """Return the bursts decided per minute of work in this session; None before there are two."""
        times = [moment for moment, _ in self._times]
        if len(times) < 2:
            return None
        gaps = [min(PAUSE, (b - a).total_seconds()) for a, b in pairwise(times)]
        return 60 * len(gaps) / max(sum(gaps), 0.001)

    def hash_of(self, row: int) -> str:
        return bytes(self.snapshot.hashes[row]).decode()

    def _standing(self, content_hash: str) -> list[Decision]:
        decisions = self._by_content.get(content_hash, ())
        return [each for each in decisions if each.action in IN_FORCE and each.decision_id not in self._undone]

    def _add(self, decision: Decision) -> None:
        if decision.decision_id in self._by_id:
            return
        self._by_id[decision.decision_id] = decision
        self._by_content[decision.content_hash].append(decision)
        if decision.undoes:
            self._undone.add(decision.undoes)
        if decision.reviewed_at and decision.session == self.session:
            self._last = max(self._last, decision.reviewed_at)
        self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        """Update the rows with the content of a decision."""
        rows = self.snapshot.rows_of(decision.content_hash)
        current = self.in_force(decision.content_hash)
        for row in rows:
            if decision.session == self.session:
                self.is_skipped[row] = decision.action == "skip"
            self.is_decided[row] = current is not None
            self.is_audited[row] = current is not None and current.queue == "audit"
            self.labels[row] = self._code(current.label) if current else self.snapshot.labels.codes[row]
            self.changes.append(int(self.snapshot.burst_of[row]))

    def _code(self, label: str | None) -> int:
        if label is None:
            return -1
        if label not in self._codes:
            self._codes[label] = len(self.label_names)
            self.label_names.append(label)
        return self._codes[label]

    def _all_frames(self, is_set: np.ndarray) -> np.ndarray:
        starts = self.snapshot.bursts.starts
        if len(starts) < 2:
            return np.zeros(0, bool)
        return np.logical_and.reduceat(is_set | (self.snapshot.failures.codes >= 0), starts[:-1])


def derive_id(choice: uuid.UUID | str, content_hash: str) -> str:
    """Return the id of the decision about one image: the same for each repetition of a request."""
    return str(uuid.uuid5(uuid.UUID(str(choice)), content_hash))


def _age(decision: Decision) -> tuple[datetime, str]:
    return decision.reviewed_at or datetime.min.replace(tzinfo=timezone.utc), decision.decision_id
