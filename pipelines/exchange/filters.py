"""Which images to export or explain. Without Spark, because the command line imports it at every start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Filters:
    """Which images to choose; empty or null: all. `until` is the last day. `labels` are those of `exported_label`."""

    stations: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    labels: tuple[str, ...] = ()
    is_reviewed: bool | None = None

    def to_words(self) -> list[str]:
        """Return the command-line options that give these filters."""
        words = [word for name in self.stations for word in ("--station", name)]
        words += [word for name in self.labels for word in ("--label", name)]
        days = (("--since", self.since), ("--until", self.until))
        words += [word for option, day in days if day for word in (option, day.isoformat())]
        decided = {True: ["--reviewed"], False: ["--not-reviewed"], None: []}
        return words + decided[self.is_reviewed]
