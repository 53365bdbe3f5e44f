"""Decide which times are plausible times of exposure. All others count as unknown.

Clocks that were never set, the day zero of spreadsheets and damaged EXIF yield implausible times. Some of them cannot
even be written to a table: Spark rejects timestamps before 1900.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

EARLIEST = datetime(1970, 1, 2)
# The start of clocks that were never set: the first day of FAT and BIOS, and the default of most cameras.
DEFAULT_DAYS = (date(1980, 1, 1), date(2000, 1, 1))
MAX_CLOCK_LEAD = timedelta(days=1)  # camera clocks show local time, up to 14 hours ahead of UTC


def is_plausible(moment: datetime, now: datetime | None = None) -> bool:
    """Return whether an image can have been taken at `moment`, a time of the camera's own clock without a zone.

    Implausible are times before 2 January 1970, on a day at which clocks start, at midnight of a New Year (a clock
    reset by a change of batteries), and more than a day after `now` (UTC without a zone; null: the current time).
    """
    latest = (now or datetime.utcnow()) + MAX_CLOCK_LEAD
    is_reset = (moment.month, moment.day, moment.time().replace(microsecond=0)) == (1, 1, datetime.min.time())
    return EARLIEST <= moment <= latest and moment.date() not in DEFAULT_DAYS and not is_reset
