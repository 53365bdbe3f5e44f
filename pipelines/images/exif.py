"""Interpret EXIF tags (CIPA DC-008, EXIF 2.32): orientation, time and camera.

Broken EXIF is common (cameras, editors and geotaggers rewrite it) and never makes an image fail: values that cannot be
read count as absent.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pipelines.images import maker_notes
from pipelines.images.ifd import Tags
from pipelines.label_text import is_unknown_name

ORIENTATION, IMAGE_WIDTH, IMAGE_LENGTH = 0x0112, 0x0100, 0x0101
NEW_SUBFILE_TYPE, COMPRESSION, SUB_IFDS, DNG_VERSION = 0x00FE, 0x0103, 0x014A, 0xC612
_DATE_TIME, _CAMERA_SERIAL = 0x0132, 0xC62F
_DATE_TIME_ORIGINAL, _DATE_TIME_DIGITIZED, _BODY_SERIAL = 0x9003, 0x9004, 0xA431
_MAKE, _MAKER_NOTE = 0x010F, 0x927C
_SOFTWARE = 0x0131
# Programs that rewrite images; cameras write the name of their firmware into the same tag.
_EDITOR = re.compile(
    r"photoshop|lightroom|adobe|gimp|irfanview|xnview|picasa|paint|acdsee|faststone|imagemagick|digikam|darktable|"
    r"capture one|affinity|snapseed|windows photo|photo viewer|microsoft|photoscape|shotwell|gthumb|exiv2|rawtherapee",
    re.IGNORECASE,
)
_DIGITS = "01234567890123456789"
_SUBSEC, _SUBSEC_ORIGINAL, _SUBSEC_DIGITIZED = 0x9290, 0x9291, 0x9292
# A time zone may follow; it is ignored, since times are those of the camera's own clock.
_DATETIME = re.compile(
    r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+"
    r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d+))?\s*(?:Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def read_orientation(tags: Tags) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is absent or invalid."""
    value = tags.get(ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_captured_at(tags: Tags) -> datetime | None:
    """Return the time of exposure by the camera's own clock, or None.

    The first valid date of DateTimeOriginal, DateTimeDigitized, DateTime and the maker note. DateTime is skipped if the
    file was saved by an editor, which stores the time of saving there.
    """
    is_edited = bool(_EDITOR.search(_text(tags.get(_SOFTWARE))))
    for date, subsec in (
        (_DATE_TIME_ORIGINAL, _SUBSEC_ORIGINAL),
        (_DATE_TIME_DIGITIZED, _SUBSEC_DIGITIZED),
        (_DATE_TIME, _SUBSEC),
    ):
        if date == _DATE_TIME and is_edited:
            continue
        moment = parse_exif_datetime(_text(tags.get(date)), _text(tags.get(subsec)))
        if moment:
            return moment
    return maker_notes.read_captured_at(*_maker_note(tags))


def read_camera_serial(tags: Tags) -> str | None:
    """Return the serial number of the camera body, or None.

    BodySerialNumber, else the DNG standard's CameraSerialNumber, else the maker note's. Placeholders count as absent:
    zeros, a word such as `Unknown`, one character repeated, digits in order.
    """
    values = [tags.get(tag) for tag in (_BODY_SERIAL, _CAMERA_SERIAL)]
    serials = [str(value) if isinstance(value, int) else _text(value) for value in values]
    for serial in (*serials, maker_notes.read_serial_number(*_maker_note(tags))):
        if serial.strip("0 -") and not is_unknown_name(serial) and not _is_placeholder(serial):
            return serial
    return None


def _is_placeholder(serial: str) -> bool:
    """Return whether a serial number is shared by all cameras of a make: 11111111, XXXXXX, 123456789."""
    letters = re.sub(r"[^0-9A-Za-z]", "", serial)
    is_repeated = len(letters) >= 4 and len(set(letters)) == 1
    return is_repeated or (len(letters) >= 7 and letters in _DIGITS)


def parse_exif_datetime(text: str, subsec: str = "") -> datetime | None:
    """Parse an EXIF date and time; None if it is invalid.

    An hour of 24 is None: cameras write it for both ends of the day.
    """
    match = _DATETIME.fullmatch(text)
    if not match:
        return None
    *fields, fraction = match.groups()
    if fraction is None:
        fraction = subsec if subsec.isascii() and subsec.isdigit() else ""
    try:
        moment = datetime(*(int(field) for field in fields))  # type: ignore[arg-type]
    except ValueError:
        return None
    return moment + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))


def _maker_note(tags: Tags) -> tuple[bytes, str]:
    note = tags.get(_MAKER_NOTE)
    return note if isinstance(note, bytes) else b"", _text(tags.get(_MAKE))


def _text(value: int | bytes | None) -> str:
    if not isinstance(value, bytes):
        return ""
    text = value.lstrip(b"\0 ").split(b"\0")[0]  # a field of fixed width may hold leftovers after the NUL
    return "".join(chr(byte) for byte in text if 32 <= byte < 127).strip()
