"""Numbers, shares, dates and any foreign text, as the report writes them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from markupsafe import Markup

from pipelines.evaluation.results import Interval

UNKNOWN = "–"
IMAGE_URI = re.compile(r"data:image/(jpeg|png|webp|gif);base64,[A-Za-z0-9+/=]+")


def format_count(value: int | None) -> str:
    """Give 48,210; a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def pluralize(count: int, noun: str, several: str = "") -> str:
    """Give '1 image' or '2 images'."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def format_percent(share: float | None) -> str:
    """Give a share as 84.8 %, with a space that does not break; a dash for None and NaN."""
    return UNKNOWN if share is None or share != share else f"{100 * share:.1f}\N{NARROW NO-BREAK SPACE}%"


def format_interval(figure: Interval) -> str:
    """Give '79.1 to 90.2 %', or nothing where there is no interval."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {format_percent(figure.high)}"


def format_datetime(value: datetime | None) -> str:
    """Give 2014-07-01 15:22; a dash for what is not known."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d %H:%M")


def format_date(value: datetime | None) -> str:
    """Give 2014-07-01; a dash for what is not known."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d")


def file_name(path: str) -> str:
    """Give the last part of a path."""
    return path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or path


def safe_data_uri(uri: str | None) -> str | None:
    """Give the URI if it holds an image itself; None for anything a browser would have to fetch or run."""
    return uri if uri and IMAGE_URI.fullmatch(uri) else None


def sanitize_text(value: Any) -> Any:
    """Make every character of foreign text fit for a page: it is what autoescaping does not do.

    Control characters become their images (U+2400), bytes of a file name that are not UTF-8 their escapes.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = "".join(chr(0x2400 + ord(each)) if each < " " and each not in "\n\t" else each for each in value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
