"""Whether a file reaches the end that its own container announces; asked only after decoding has failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipelines.images import ifd

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


_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_EXIF, _COMMENT, _START_OF_SCAN, _END = 0xE1, 0xFE, 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart: pixels hold no other
# Without JFIF's (E0) and Adobe's (EE), which say what the colours mean.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, _COMMENT}


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give name, begin and end of the data of every chunk; the last one may end after the file does."""
    at = 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        name = content[at + 4 : at + 8]
        yield name, at + 8, at + 8 + length
        if name == b"IEND":
            return
        at += 12 + length


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Give marker, begin and end of the data of every segment before the pixels."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in (_START_OF_SCAN, _END):
            return
        else:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            yield marker, at + 4, end
            at = end


def jpeg_markers(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the data of every segment up to the end of the image, those of scans too.

    As decoders do, look for the next marker behind whatever lies between two segments.
    """
    at = 2
    while (found := _MARKER.search(content, at)) and (marker := content[found.start() + 1]) != _END:
        begin = at = found.end()
        if marker not in _ALONE:
            begin, at = begin + 2, begin + max(2, int.from_bytes(content[begin : begin + 2], "big"))
        yield marker, begin, at


def riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of the data of every chunk of a WebP, those inside of others left out."""
    at = 12
    while at + 8 <= len(content):
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], at + 8, end
        at = end + (end & 1)


def gif_blocks(content: bytes) -> Iterator[tuple[int, int] | None]:
    """Yield None for every block of data before the first frame of a GIF, then width and height that this reaches."""
    at = 13 + (3 * 2 ** ((content[10] & 7) + 1) if len(content) > 10 and content[10] & 0x80 else 0)
    while at + 10 <= len(content):
        if content[at] == 0x2C:
            left, top, width, height = (int.from_bytes(content[i : i + 2], "little") for i in range(at + 1, at + 9, 2))
            yield left + width, top + height
            return
        if content[at] == 0x21:
            at += 2
            while at < len(content) and content[at]:
                yield None
                at += content[at] + 1
        yield None
        at += 1


def jpeg_exif(content: bytes) -> bytes | None:
    """Give the EXIF block of a JPEG, or None."""
    for marker, begin, end in jpeg_segments(content):
        if marker == _EXIF and content[begin : begin + 4] == b"Exif":
            return content[begin:end]
    return None


def strip_metadata(format_: str, content: bytes) -> bytes:
    """Give the file with only what its pixels need; formats other than JPEG and PNG come back unchanged."""
    if format_ == "PNG":
        chunks = [content[begin - 8 : end + 4] for name, begin, end in png_chunks(content) if name in _PNG_PIXELS]
        return content[:8] + b"".join(chunks)
    if format_ != "JPEG":
        return content
    kept, rest = [content[:2]], 2
    for marker, begin, rest in jpeg_segments(content):
        if marker not in _JPEG_METADATA:
            kept.append(content[begin - 4 : rest])
    return b"".join([*kept, content[rest:]])
