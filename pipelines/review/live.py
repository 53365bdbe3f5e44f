"""What the page shows now, and its replacement when other commands have written to the workspace."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.formatting import pluralize
from pipelines.review.decisions import Decisions
from pipelines.review.journal import JournalReader, JournalWriter
from pipelines.review.keys import Keys, assign_keys, extend_keys
from pipelines.review.load import Loaded, Loader, Versions
from pipelines.review.progress import measure
from pipelines.review.queues import Filters, Queues
from pipelines.review.thumbnails import gone
from pipelines.workspace.journal_files import review_folder

INTERVAL, SLOW_INTERVAL = 3.0, 60.0  # seconds between two looks at the tables; the second with Spark or a server
PAUSE = 20.0  # of what loading took, until it is done again: `ingest` and `score` commit often


@dataclass(frozen=True)
class State:
    """What was loaded, and what follows from it. It is replaced as a whole."""

    versions: Versions
    loaded: Loaded
    decisions: Decisions
    queues: Queues
    keys: Keys
    number: int = 0
    notice: str = ""  # what has changed, for the reviewer

    @property
    def version(self) -> str:
        """Return a text that is different after each change of what the queues are made of."""
        return f"{self.number}-{self.queues.stamp}"


class Live:
    """The current state. Decisions are appended, and states replaced, under `lock`."""

    def __init__(self, loader: Loader, session: str, keys: str | None = None) -> None:
        self._loader = loader
        self._folder = review_folder(loader.workspace)
        journals = self._folder / "journal"
        self.writer = JournalWriter(journals, session)
        versions = loader.versions()
        loaded = loader.load()
        decisions = Decisions(loaded.snapshot, JournalReader(journals), self.writer, session)
        decisions.load(loaded.decisions)
        self.lock = decisions.lock
        self.state = self._complete(versions, loaded, decisions, assign_keys(*_labels(loaded, decisions), keys))
        self.fault = ""  # why the last replacement failed
        self._thread: threading.Thread | None = None
        self._next_look = 0.0
        self._starting = threading.Lock()

    @property
    def decisions(self) -> Decisions:
        return self.state.decisions

    @property
    def queues(self) -> Queues:
        return self.state.queues

    def refresh(self) -> State:
        """Return the current state, with what other sessions have decided."""
        with self.lock:
            self.state.decisions.refresh()
            self.extend_keys()
            return self.state

    def extend_keys(self) -> Keys:
        """Return the keys, with free ones for labels that people have typed. The lock must be held."""
        keys = extend_keys(self.state.keys, filter(None, self.decisions.label_names))
        if keys != self.state.keys:
            self.state = replace(self.state, keys=keys)
        return keys

    def read_content(self, content_hash: str, ahead: Sequence[str] = ()) -> bytes:
        """Return the stored file of a content. Raises ImageError if the tables do not have it any more."""
        state = self.state
        rows = state.loaded.snapshot.rows_of
        if not len(found := rows(content_hash)):
            raise gone()
        wanted = (int(first) for each in ahead for first in rows(each)[:1])
        return state.loaded.read_bytes(int(found[0]), wanted)

    def look(self) -> None:
        """Look for changes of the tables in the background, unless that was done a moment ago."""
        with self._starting:
            is_running = self._thread is not None and self._thread.is_alive()
            if is_running or time.monotonic() < self._next_look:
                return
            self._thread = threading.Thread(target=self._update_quietly, daemon=True)
            self._thread.start()

    def update(self) -> None:
        """Replace the state if other commands have written to the tables, or promoted another version."""
        former, versions = self.state, self._loader.versions()
        if versions == former.versions:
            return
        if versions._replace(labels=None) == former.versions._replace(labels=None):
            former.decisions.load(self._loader.load_decisions(former.decisions))
            with self.lock:
                self.state = replace(self.state, versions=versions)
            return
        loaded = self._loader.load(former.loaded.version, former.decisions)
        decisions = Decisions(
            loaded.snapshot, JournalReader(self._folder / "none"), self.writer, former.decisions.session
        )
        decisions.load([*former.decisions.all(), *loaded.decisions])
        state = self._complete(versions, loaded, decisions, former.keys)
        with self.lock:
            decisions.take_over(former.decisions)
            keys = extend_keys(self.state.keys, sum(_labels(loaded, decisions), ()))
            notice = _describe(former.loaded, loaded)
            self.state = replace(state, keys=keys, number=former.number + 1, notice=notice)

    def close(self) -> None:
        self.writer.close()

    def _complete(self, versions: Versions, loaded: Loaded, decisions: Decisions, keys: Keys) -> State:
        """Return a state, with what is computed once, so that its first page is as fast as the others."""
        queues = Queues(decisions, self._folder)
        measure(decisions, queues, queues.get(queues.default, Filters()).bursts)
        decisions.snapshot.rows_of("")
        decisions.snapshot.find_burst("")
        return State(versions, loaded, decisions, queues, keys)

    def _update_quietly(self) -> None:
        start = time.monotonic()
        try:
            self.update()
            self.fault = ""
        except Exception as error:  # the page says so, and the next look tries again
            self.fault = f"New data cannot be loaded: {str(error).partition(chr(10))[0][:300]}"
        end = time.monotonic()
        self._next_look = end + max(INTERVAL if self._loader.is_fast else SLOW_INTERVAL, PAUSE * (end - start))


def _labels(loaded: Loaded, decisions: Decisions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the model's classes, and the labels in use."""
    model = loaded.snapshot.model
    return tuple(model.classes) if model else (), tuple(filter(None, decisions.label_names))


def _describe(former: Loaded, loaded: Loaded) -> str:
    """Return one sentence on what has changed; empty if nothing is visible."""
    more = len(loaded.snapshot) - len(former.snapshot)
    parts = [f"{pluralize(abs(more), 'image')} {'more' if more > 0 else 'fewer'}"] if more else []
    if loaded.version and str(loaded.version) != str(former.version):
        parts.append(f"predictions of {loaded.version}")
    elif scored := int(loaded.snapshot.bursts.is_scored.sum() - former.snapshot.bursts.is_scored.sum()):
        parts.append(f"{pluralize(abs(scored), 'burst')} {'more' if scored > 0 else 'fewer'} with a prediction")
    return f"Updated: {', '.join(parts)}." if parts else ""
