"""The result of a stage, and the format of its closing line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.formatting import format_counts, format_duration


@dataclass(frozen=True)
class StageResult:
    """The numbers of images that a stage read, wrote and could not use.

    `notes` are sentences for the user. `persistent_notes` are those of them, and `noop_outcome` is the outcome, that
    the next run would repeat if nothing has changed. `artifacts` are outputs other than tables: `report`, a file of
    the workspace, and `model`, a version. `due` is when the stage has work again, even if nothing changes.
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
        """Return HTML for notebooks: the counts side by side, then the failures, the notes and the outcome."""
        from pipelines.reports import notebook_html

        counts = [("Read", self.read), ("Written", self.written), ("Failed", self.failed)]
        html = notebook_html.stat_tiles([("Stage", self.stage), *counts, ("Time", format_duration(self.seconds))])
        if self.failures:
            html += notebook_html.paragraph(f"Failed: {format_counts(self.failures)}")
        for text in (*self.notes, self.outcome):
            html += notebook_html.preformatted(text.strip()) if "\n" in text.strip() else notebook_html.paragraph(text)
        return html._repr_html_()

    def closing_line(self) -> str:
        """Return `featurize: 8,210 read, 8,197 written, 13 failed (11 truncated, 2 empty), 6 min 12 s, 22 images/s`."""
        kinds = format_counts(self.failures)
        rate = self.read / self.seconds if self.seconds else 0
        parts = [
            f"{self.read:,} read",
            f"{self.written:,} written",
            f"{self.failed:,} failed" + (f" ({kinds})" if kinds else ""),
            format_duration(self.seconds),
            f"{rate:,.0f} images/s",
        ]
        return f"{self.stage}: {', '.join(parts)}" + (f"; {self.outcome}" if self.outcome else "")


class Stopwatch:
    """Measure the seconds since it was created."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
