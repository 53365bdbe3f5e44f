"""What every stage gives back, and the one form of its closing line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class StageResult:
    """Count what a stage read, wrote and could not use.

    `notes` are sentences for the user; `lasting` those of them, and `again` the outcome, that the stage would give if
    it were asked once more. `made` names what came out beside tables: `report`, a file of the workspace, and `model`,
    a version. `due` is when the stage has something to do again, even if nothing changes.
    """

    stage: str
    read: int = 0
    written: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    outcome: str = ""
    persistent_notes: tuple[str, ...] = ()
    noop_outcome: str = ""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    due: datetime | None = None

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def _repr_html_(self) -> str:
        """Give what a notebook shows of it: the counts side by side, then what failed, the notes and the outcome."""
        from pipelines.reports import notebook_html

        counts = [("Read", self.read), ("Written", self.written), ("Failed", self.failed)]
        shown = notebook_html.stat_tiles([("Stage", self.stage), *counts, ("Time", format_duration(self.seconds))])
        if self.failures:
            shown += notebook_html.paragraph(f"Failed: {_listed(self.failures)}")
        for text in (*self.notes, self.outcome):
            shown += notebook_html.preformatted(text.strip()) if "\n" in text.strip() else notebook_html.paragraph(text)
        return shown._repr_html_()

    def closing_line(self) -> str:
        """Give `featurize: 8,210 read, 8,197 written, 13 failed (11 truncated, 2 empty), 6 min 12 s, 22 images/s`."""
        kinds = _listed(self.failures)
        rate = self.read / self.seconds if self.seconds else 0
        parts = [
            f"{self.read:,} read",
            f"{self.written:,} written",
            f"{self.failed:,} failed" + (f" ({kinds})" if kinds else ""),
            format_duration(self.seconds),
            f"{rate:,.0f} images/s",
        ]
        return f"{self.stage}: {', '.join(parts)}" + (f"; {self.outcome}" if self.outcome else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def format_duration(seconds: float) -> str:
    """Give `6 min 12 s`, `2 h 5 min`, `3.4 s`: two units at most."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Stopwatch:
    """Count the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
