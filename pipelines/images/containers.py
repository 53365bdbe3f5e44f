"""Containers of image formats: iterate over segments and chunks, strip metadata, and detect truncation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipelines.images import ifd

_OFFSETS, _COUNTS = (0x0111, 0x0144), (0x0117, 0x0145)  # of TIFF's strips and tiles


def is_truncated(format_: str, content: bytes) -> bool:
    """Return whether the container announces more bytes than there are. Unknown formats count as complete.

    Meant for files that failed to decode: pixels may contain the bytes of an end marker.
    """
    check = _CHECKS.get(format_)
    return check is not None and check(content)


def _is_truncated_png(content: bytes) -> bool:
    last = b""
    for name, _, end in iter_png_chunks(content):
        if not name.isalpha():
            return False  # garbage: corrupt rather than truncated
        last = name
        if end > len(content):
            return True
    return last != b"IEND"


def _is_truncated_jpeg(content: bytes) -> bool:
    return b"\xff\xd9" not in content[content.rfind(b"\xff\xda") :]


def _is_truncated_tiff(content: bytes) -> bool:
    if ifd.is_truncated(content):
        return True
    for offset, count in zip(_OFFSETS, _COUNTS, strict=True):
        starts, lengths = ifd.read_numbers(content, offset), ifd.read_numbers(content, count)
        if any(start + length > len(content) for start, length in zip(starts, lengths, strict=False)):
            return True
    return False


def _is_truncated_riff(content: bytes) -> bool:
    return len(content) < int.from_bytes(content[4:8], "little") + 8


def _is_truncated_bmp(content: bytes) -> bool:
    return len(content) < int.from_bytes(content[2:6], "little")


def _is_truncated_boxes(content: bytes) -> bool:
    """Walk ISO 14496-12 and JP2 boxes: 4 bytes of size, 4 of name; size 1: 8 bytes follow; 0: up to the end."""
    position = 0
    while position + 8 <= len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        if size == 1:
            size = int.from_bytes(content[position + 8 : position + 16], "big")
        if size < 8:
            return False
        position += size
    return position > len(content)


def _is_truncated_jpeg2000(content: bytes) -> bool:
    pixels = content[max(0, content.find(b"\xff\x93")) :]  # which cannot contain the end marker by chance
    return _is_truncated_boxes(content) or b"\xff\xd9" not in pixels


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "PNG": _is_truncated_png,
    "JPEG": _is_truncated_jpeg,
    "TIFF": _is_truncated_tiff,
    "WEBP": _is_truncated_riff,
    "BMP": _is_truncated_bmp,
    "AVIF": _is_truncated_boxes,
    "JPEG2000": _is_truncated_jpeg2000,
}


_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_EXIF, _COMMENT, _START_OF_SCAN, _END = 0xE1, 0xFE, 0xDA, 0xD9
_MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart: pixels contain no other
# Without JFIF's (E0) and Adobe's (EE), which define the colour space.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, _COMMENT}


def iter_png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of the data of every chunk; the last one may end after the file does."""
    position = 8
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        yield name, position + 8, position + 8 + length
        if name == b"IEND":
            return
        position += 12 + length


def iter_jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the data of every segment before the pixels."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _MARKERS_WITHOUT_LENGTH:
            position += 2
        elif marker in (_START_OF_SCAN, _END):
            return
        else:
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
            yield marker, position + 4, end
            position = end


def iter_jpeg_markers(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the data of every segment up to the end of the image, including scans.

    As decoders do, skip whatever lies between two segments.
    """
    position = 2
    while (match := _MARKER.search(content, position)) and (marker := content[match.start() + 1]) != _END:
        begin = position = match.end()
        if marker not in _MARKERS_WITHOUT_LENGTH:
            begin, position = begin + 2, begin + max(2, int.from_bytes(content[begin : begin + 2], "big"))
        yield marker, begin, position


def iter_riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of the data of every top-level chunk of a WebP."""
    position = 12
    while position + 8 <= len(content):
        end = position + 8 + int.from_bytes(content[position + 4 : position + 8], "little")
        yield content[position : position + 4], position + 8, end
        position = end + (end & 1)


def iter_gif_blocks(content: bytes) -> Iterator[tuple[int, int] | None]:
    """Yield None for every data block before the first frame of a GIF, then the width and height the frame needs."""
    position = 13 + (3 * 2 ** ((content[10] & 7) + 1) if len(content) > 10 and content[10] & 0x80 else 0)
    while position + 10 <= len(content):
        if content[position] == 0x2C:
            left, top, width, height = (
                int.from_bytes(content[i : i + 2], "little") for i in range(position + 1, position + 9, 2)
            )
            yield left + width, top + height
            return
        if content[position] == 0x21:
            position += 2
            while position < len(content) and content[position]:
                yield None
                position += content[position] + 1
        yield None
        position += 1


def find_jpeg_exif(content: bytes) -> bytes | None:
    """Return the EXIF block of a JPEG, or None."""
    for marker, begin, end in iter_jpeg_segments(content):
        if marker == _EXIF and content[begin : begin + 4] == b"Exif":
            return content[begin:end]
    return None


def strip_metadata(format_: str, content: bytes) -> bytes:
    """Return the file without metadata that its pixels do not need. Formats other than JPEG and PNG are unchanged."""
    if format_ == "PNG":
        chunks = [content[begin - 8 : end + 4] for name, begin, end in iter_png_chunks(content) if name in _PNG_PIXELS]
        return content[:8] + b"".join(chunks)
    if format_ != "JPEG":
        return content
    kept, rest = [content[:2]], 2
    for marker, begin, rest in iter_jpeg_segments(content):
        if marker not in _JPEG_METADATA:
            kept.append(content[begin - 4 : rest])
    return b"".join([*kept, content[rest:]])
