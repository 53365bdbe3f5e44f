"""Whether a file reaches the end that its own container announces; asked only after decoding has failed."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.images import ifd
from pipelines.images.segments import png_chunks

_OFFSETS, _COUNTS = (0x0111, 0x0144), (0x0117, 0x0145)  # of TIFF's strips and tiles


def is_truncated(format_: str, content: bytes) -> bool:
    """Say whether the container announces more bytes than there are. Unknown formats count as complete."""
    check = _CHECKS.get(format_)
    return check is not None and check(content)


def _png(content: bytes) -> bool:
    last = b""
    for name, _, end in png_chunks(content):
        if not name.isalpha():
            return False  # garbage: broken rather than cut
        last = name
        if end > len(content):
            return True
    return last != b"IEND"


def _jpeg(content: bytes) -> bool:
    return b"\xff\xd9" not in content[content.rfind(b"\xff\xda") :]


def _tiff(content: bytes) -> bool:
    if ifd.is_truncated(content):
        return True
    for offset, count in zip(_OFFSETS, _COUNTS, strict=True):
        starts, lengths = ifd.read_numbers(content, offset), ifd.read_numbers(content, count)
        if any(start + length > len(content) for start, length in zip(starts, lengths, strict=False)):
            return True
    return False


def _riff(content: bytes) -> bool:
    return len(content) < int.from_bytes(content[4:8], "little") + 8


def _bmp(content: bytes) -> bool:
    return len(content) < int.from_bytes(content[2:6], "little")


def _boxes(content: bytes) -> bool:
    """ISO 14496-12 and JP2 boxes: 4 bytes of size, 4 of name; size 1: 8 bytes follow; 0: up to the end."""
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return at > len(content)


def _jpeg2000(content: bytes) -> bool:
    pixels = content[max(0, content.find(b"\xff\x93")) :]  # they cannot hold the end marker by chance
    return _boxes(content) or b"\xff\xd9" not in pixels


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "TIFF": _tiff,
    "WEBP": _riff,
    "BMP": _bmp,
    "AVIF": _boxes,
    "JPEG2000": _jpeg2000,
}
