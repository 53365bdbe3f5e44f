"""Read directories of tags (IFDs) of TIFF 6.0, BigTIFF and EXIF without Pillow.

The result is the same under every version of Pillow, and nothing raises: values outside the file are skipped.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Bytes of one value by its type; the last three are BigTIFF's.
_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_PREFIXES = re.compile(rb"(?:Exif\0[\0\xff])*")
_EXIF_IFD = 0x8769
_MAX_TAGS = 1000
_MAX_TEXT_BYTES = 256  # names and dates are short

Tags = dict[int, "int | bytes"]


def read_tags(exif: bytes) -> Tags:
    """Return the tags of the main image: the first number of each, or its text as bytes.

    Takes an EXIF block, with or without its `Exif` prefix, or a whole TIFF file. IFD1, the thumbnail's, is
    ignored: its orientation is not the image's.
    """
    layout = _read_layout(exif)
    if layout is None:
        return {}
    tags = dict(_iter_tags(layout, layout.start))
    inner = tags.get(_EXIF_IFD)
    return {**dict(_iter_tags(layout, inner)), **tags} if isinstance(inner, int) else tags


def read_numbers(tiff: bytes, tag: int) -> list[int]:
    """Return all numbers of one tag of the first directory of a TIFF file; none if it is absent."""
    layout = _read_layout(tiff)
    entries = _iter_entries(layout, layout.start) if layout else ()
    kind, payload = next(((kind, value) for name, kind, _, value in entries if name == tag), (0, memoryview(b"")))
    if layout is None or kind not in _UNSIGNED:
        return []
    complete = payload[: len(payload) // _SIZES[kind] * _SIZES[kind]]
    return [number for (number,) in struct.iter_unpack(layout.order + _UNSIGNED[kind], complete)]


def is_truncated(tiff: bytes) -> bool:
    """Return whether a TIFF's first directory, or one of its values, lies beyond the end of the file."""
    layout = _read_layout(tiff)
    if layout is None or layout.start + 8 > len(tiff):
        return True
    (count,) = struct.unpack_from(layout.order + layout.count_format, tiff, layout.start)
    end = layout.start + struct.calcsize(layout.count_format) + count * layout.entry.size
    return end > len(tiff) or any(len(payload) < size for _, _, size, payload in _iter_entries(layout, layout.start))


def read_tag_outline(data: bytes, limit: int) -> list[tuple[int, int, int]]:
    """Return tag, bytes in the file and number of values of the first `limit` entries of the first directory."""
    layout = _read_layout(data)
    entries = _iter_entries(layout, layout.start, limit) if layout else ()
    return [(tag, len(value), size // _SIZES[kind]) for tag, kind, size, value in entries if kind in _SIZES]


@dataclass(frozen=True)
class _Layout:
    """The layout of a TIFF: byte order, TIFF or BigTIFF, and the offset of the first IFD."""

    data: memoryview  # values are copied only when used: a thousand may share the same megabytes
    order: str
    is_big: bool
    start: int

    @property
    def count_format(self) -> str:
        return "Q" if self.is_big else "H"

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.is_big else "HHI4s"))


def _read_layout(data: bytes) -> _Layout | None:
    prefixes = _PREFIXES.match(data)
    view = memoryview(data)[prefixes.end() if prefixes else 0 :]
    order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]))
    if order is None or len(view) < 16:
        return None
    is_big = bytes(view[2:4]) in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), view, 8 if is_big else 4)
    return _Layout(view, order, is_big, start)


def _iter_tags(layout: _Layout, start: int) -> Iterator[tuple[int, int | bytes]]:
    for tag, kind, _, payload in _iter_entries(layout, start):
        if kind in (2, 7):
            yield tag, bytes(payload[:_MAX_TEXT_BYTES])
        elif kind in _UNSIGNED and len(payload) >= _SIZES[kind]:
            yield tag, int(struct.unpack_from(layout.order + _UNSIGNED[kind], payload)[0])


def _iter_entries(layout: _Layout, start: int, limit: int = _MAX_TAGS) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield tag, type, announced size and bytes of every entry of a directory that lies inside the file."""
    data = layout.data
    entry, inline = layout.entry, 8 if layout.is_big else 4
    position = start + struct.calcsize(layout.count_format)
    if position > len(data):
        return
    (count,) = struct.unpack_from(layout.order + layout.count_format, data, start)
    for _ in range(min(count, limit)):
        if position + entry.size > len(data):
            return
        tag, kind, number, payload = entry.unpack_from(data, position)
        position += entry.size
        size = _SIZES.get(kind, 0) * number
        value = memoryview(payload)
        if size > inline:
            offset = int.from_bytes(payload, "little" if layout.order == "<" else "big")
            value = data[offset : offset + size]
        yield tag, kind, size, value[:size]
