"""Read the times of a labels table: only those that leave no doubt, and only plausible ones."""

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
    """Return the times in UTC, the texts that are no times, and those of times that cannot be.

    Day-first dates are no times: they would have to be guessed. Implausible are times before 1970-01-02, later than a
    day from `now`, on a day on which clocks start that were never set, and days without a time of day: all images of
    such a day would be one burst. Both are null in the first.
    """
    text = column.str.replace(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", regex=True)  # EXIF's way to write a date
    text = text.where(~text.str.startswith("0000-00-00", na=False), None)  # EXIF for: the clock was never set
    readable = text.where(text.str.fullmatch(ISO_TIME, na=False))
    year = pd.to_numeric(readable.str[:4], errors="coerce")
    is_possible = year.between(*YEARS)
    times = _parse(readable.where(is_possible))
    wrong = times.isna() & text.notna() & (readable.isna() | is_possible)
    last = (now or datetime.now(timezone.utc)) + MAX_CLOCK_LEAD
    is_factory = times.dt.strftime("%Y-%m-%d").isin(FACTORY_DAYS)
    has_clock = readable.str.contains(":", na=False)
    plausible = times.where((times >= FIRST) & (times <= last) & ~is_factory & has_clock)
    return plausible, column[wrong], column[text.notna() & ~wrong & plausible.isna()]


def _parse(readable: pd.Series) -> pd.Series:
    iso = {"format": "ISO8601"} if int(pd.__version__.split(".")[0]) >= 2 else {}
    has_offset = readable.str.contains(OFFSET, na=False)
    # Apart, because pandas gives a time without an offset that of the row before.
    local, offset = (
        pd.to_datetime(readable.where(part), errors="coerce", utc=True, **iso) for part in (~has_offset, has_offset)
    )
    return local.fillna(offset)
