"""The segments of a JPEG (ITU T.81), the chunks of a PNG (ISO 15948) and of RIFF, and the blocks of a GIF."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
