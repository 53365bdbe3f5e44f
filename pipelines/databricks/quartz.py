"""Validate Quartz cron expressions, which Databricks uses for schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FORMAT_HINT = "seconds minutes hours day-of-month month day-of-week [year], such as 0 0 2 * * ? for two at night"


@dataclass(frozen=True)
class CronField:
    """A field of a cron expression: its name, limits, names for numbers, and its special values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"

    def number(self, word: str) -> int | None:
        """Return the number of a word; None if it is not a value of this field."""
        if word.upper() in self.names:
            return self.low + self.names.index(word.upper())
        return int(word) if word.isdigit() and self.low <= int(word) <= self.high else None


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS = (
    CronField("seconds", 0, 59),
    CronField("minutes", 0, 59),
    CronField("hours", 0, 23),
    CronField("day-of-month", 1, 31, special=r"\?|L(-([1-9]|[12]\d|30))?W?|([1-9]|[12]\d|3[01])W"),
    CronField("month", 1, 12, MONTHS),
    CronField("day-of-week", 1, 7, DAYS, special=rf"\?|L|([1-7]|{'|'.join(DAYS)})(L|#[1-5])"),
    CronField("year", 1970, 2099),
)


def validate_cron(line: str) -> list[str]:
    """Return the faults of a cron expression; empty if Quartz accepts it."""
    words = line.split()
    if len(words) not in (6, 7):
        return [f"it has {len(words)} fields, and Quartz wants 6 or 7: {FORMAT_HINT}"]
    faults = [fault for field, word in zip(FIELDS, words, strict=False) for fault in _field_faults(field, word)]
    if (words[3] == "?") == (words[5] == "?"):
        faults.append(f"exactly one of day-of-month ({words[3]}) and day-of-week ({words[5]}) should be ?")
    return faults


def _field_faults(field: CronField, word: str) -> Iterator[str]:
    for part in word.split(","):
        if part == "*" or re.fullmatch(field.special, part, re.IGNORECASE):
            continue
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and 0 < int(step) <= field.high):
            yield f"{field.name}: {part!r} has no step from 1 to {field.high} behind its slash"
        if span == "*":
            continue
        ends = [field.number(end) for end in span.split("-")]
        if len(ends) > 2 or None in ends:
            named = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
            yield f"{field.name}: {part!r} is not {field.low} to {field.high}{named}"
