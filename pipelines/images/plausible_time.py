"""Decide which times a camera can have written. Everything else is an unknown time.

Clocks that were never set, spreadsheets' day zero and damaged EXIF give times that no image was taken at. Some of
them cannot even be written to a table: Spark refuses timestamps before 1900.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

EARLIEST = datetime(1970, 1, 2)
# Where clocks start that were never set: FAT's and the BIOS's first day, and the one that most cameras take.
DEFAULT_DAYS = (date(1980, 1, 1), date(2000, 1, 1))
AHEAD = timedelta(days=1)  # camera clocks show local time, up to 14 hours ahead of UTC


def is_plausible(moment: datetime, now: datetime | None = None) -> bool:
    """Return whether an image can have been taken at `moment`, by the camera's own clock without a zone.

    Implausible are times before 2 January 1970, on a day that clocks start from, at midnight of a New Year (a clock
    that is reset by a change of batteries), and more than a day after `now` (UTC without a zone; null: the present).
    """
    latest = (now or datetime.utcnow()) + AHEAD
    is_reset = (moment.month, moment.day, moment.time().replace(microsecond=0)) == (1, 1, datetime.min.time())
    return EARLIEST <= moment <= latest and moment.date() not in DEFAULT_DAYS and not is_reset
