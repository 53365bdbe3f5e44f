"""Parse the times of a labels file: only unambiguous and plausible ones."""

from __future__ import annotations

from datetime import datetime, timezone

import pandas as pd

from pipelines.images.plausible_time import DEFAULT_DAYS, EARLIEST, MAX_CLOCK_LEAD

OFFSET = r" ?(?:Z|[+-]\d\d:?\d\d)$"
ISO_TIME = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?)?"
FIRST = pd.Timestamp(EARLIEST, tz="UTC")
FACTORY_DAYS = [str(day) for day in DEFAULT_DAYS]
YEARS = (1970, 2200)  # pandas counts nanoseconds, and ends in 2262


def parse_times(column: pd.Series, now: datetime | None = None) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return the times in UTC, the texts that are not times, and the texts of implausible times.

    Day-first dates are not times, because they are ambiguous. Implausible are times before 1970-01-02, more than a day
    after `now`, on a default day of clocks that were never set, and dates without a time of day: all images of such a
    day would be one burst. Both kinds are null in the first series.
    """
    text = column.str.replace(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", regex=True)  # EXIF's date format
    text = text.where(~text.str.startswith("0000-00-00", na=False), None)  # EXIF for: the clock was never set
    readable = text.where(text.str.fullmatch(ISO_TIME, na=False))
    year = pd.to_numeric(readable.str[:4], errors="coerce")
    is_possible = year.between(*YEARS)
    times = to_utc(readable.where(is_possible))
    wrong = times.isna() & text.notna() & (readable.isna() | is_possible)
    last = (now or datetime.now(timezone.utc)) + MAX_CLOCK_LEAD
    is_factory = times.dt.strftime("%Y-%m-%d").isin(FACTORY_DAYS)
    has_clock = readable.str.contains(":", na=False)
    plausible = times.where((times >= FIRST) & (times <= last) & ~is_factory & has_clock)
    return plausible, column[wrong], column[text.notna() & ~wrong & plausible.isna()]


def to_utc(readable: pd.Series) -> pd.Series:
    """Return times in ISO 8601 in UTC; null if they are not. A time without an offset is read as UTC."""
    iso = {"format": "ISO8601"} if int(pd.__version__.split(".")[0]) >= 2 else {}
    has_offset = readable.str.contains(OFFSET, na=False)
    # Parsed separately, because pandas gives a time without offset the offset of the previous row.
    local, offset = (
        pd.to_datetime(readable.where(part), errors="coerce", utc=True, **iso) for part in (~has_offset, has_offset)
    )
    return local.fillna(offset)
