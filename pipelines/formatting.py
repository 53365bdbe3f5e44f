"""Format counts, percentages, dates and untrusted text for the report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from pipelines.evaluation.results import Interval  # commands that only count need no NumPy


UNKNOWN = "–"
FORMULA = r"'*[=+\-@\t\r]"  # begins what spreadsheets read as a formula, or what was escaped already
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
IMAGE_URI = re.compile(r"data:image/(jpeg|png|webp|gif);base64,[A-Za-z0-9+/=]+")


def format_count(value: int | None) -> str:
    """Return a count as 48,210; None as a dash."""
    return UNKNOWN if value is None else f"{value:,}"


def pluralize(count: int, noun: str, plural: str = "") -> str:
    """Return '1 image' or '2 images'; `plural` for nouns that do not just add an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_percent(fraction: float | None) -> str:
    """Return a fraction as 84.8 %, with a narrow no-break space; None and NaN as a dash."""
    return UNKNOWN if fraction is None or fraction != fraction else f"{100 * fraction:.1f}\N{NARROW NO-BREAK SPACE}%"


def format_counts(counts: Mapping[str, int]) -> str:
    """Return `11 truncated, 2 empty`: the largest count first."""
    return ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def escape_formula(value: Any) -> Any:
    """Return a value for a spreadsheet: text that it would run as a formula gets an apostrophe in front."""
    if not isinstance(value, str) or not re.match(FORMULA, value) or NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def format_duration(seconds: float) -> str:
    """Return `6 min 12 s`, `2 h 5 min`, `3.4 s`: at most two units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_interval(figure: Interval) -> str:
    """Return the interval as '79.1 to 90.2 %'; '' without one."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {format_percent(figure.high)}"


def format_datetime(value: datetime | None) -> str:
    """Return a time as 2014-07-01 15:22; None as a dash."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d %H:%M")


def format_date(value: datetime | None) -> str:
    """Return a date as 2014-07-01; None as a dash."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d")


def file_name(path: str) -> str:
    """Return the last component of a path or URI, with / or \\ as separator."""
    return path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or path


def safe_data_uri(uri: str | None) -> str | None:
    """Return the URI if it is an image as base64 data; None for anything a browser would have to fetch or run."""
    return uri if uri and IMAGE_URI.fullmatch(uri) else None


def sanitize_text(value: Any) -> Any:
    """Replace the characters of untrusted text that HTML cannot represent, which autoescaping leaves alone.

    Control characters become their symbols (from U+2400), bytes of a file name that are not UTF-8 become escapes.
    Values other than plain text are returned unchanged.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = "".join(chr(0x2400 + ord(char)) if char < " " and char not in "\n\t" else char for char in value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
