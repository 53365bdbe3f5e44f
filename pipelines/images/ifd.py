"""Directories of tags as TIFF 6.0, BigTIFF and EXIF lay them out, read without Pillow's help.

The same answer under every version of Pillow, and never a failure: what lies outside the file is left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Bytes of a value, by its type; the last three are BigTIFF's.
_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_PREFIXES = re.compile(rb"(?:Exif\0[\0\xff])*")
_EXIF_IFD = 0x8769
_MOST_TAGS = 1000
_MOST_BYTES = 256  # of a text: names and dates are short

Tags = dict[int, "int | bytes"]


def read_tags(exif: bytes) -> Tags:
    """Give the tags of the main image: the first number of each, or its text as bytes.

    Takes an EXIF block, with or without its `Exif` prefix, or a whole TIFF file. IFD1, the thumbnail's, is
    not looked at: its orientation is not the image's.
    """
    layout = _layout(exif)
    if layout is None:
        return {}
    tags = dict(_tags(layout, layout.start))
    inner = tags.get(_EXIF_IFD)
    return {**dict(_tags(layout, inner)), **tags} if isinstance(inner, int) else tags


def read_numbers(tiff: bytes, tag: int) -> list[int]:
    """Give all numbers of one tag of the first directory of a TIFF file; none where it is absent."""
    layout = _layout(tiff)
    entries = _entries(layout, layout.start) if layout else ()
    kind, payload = next(((kind, value) for found, kind, _, value in entries if found == tag), (0, memoryview(b"")))
    if layout is None or kind not in _UNSIGNED:
        return []
    whole = payload[: len(payload) // _SIZES[kind] * _SIZES[kind]]
    return [number for (number,) in struct.iter_unpack(layout.order + _UNSIGNED[kind], whole)]


def is_truncated(tiff: bytes) -> bool:
    """Say whether a TIFF's first directory, or a value of it, lies beyond the end of the file."""
    layout = _layout(tiff)
    if layout is None or layout.start + 8 > len(tiff):
        return True
    (count,) = struct.unpack_from(layout.order + layout.count_format, tiff, layout.start)
    end = layout.start + struct.calcsize(layout.count_format) + count * layout.entry.size
    return end > len(tiff) or any(len(payload) < size for _, _, size, payload in _entries(layout, layout.start))


def read_tag_outline(data: bytes, most: int) -> list[tuple[int, int, int]]:
    """Return tag, bytes in the file and number of values of the first `most` entries of the first directory."""
    layout = _layout(data)
    entries = _entries(layout, layout.start, most) if layout else ()
    return [(tag, len(value), size // _SIZES[kind]) for tag, kind, size, value in entries if kind in _SIZES]


@dataclass(frozen=True)
class _Layout:
    """Hold what the first bytes say: byte order, the widths of BigTIFF or not, and where the first IFD is."""

    data: memoryview  # no value is copied before it is asked for: a thousand may lie in the same megabytes
    order: str
    is_big: bool
    start: int

    @property
    def count_format(self) -> str:
        return "Q" if self.is_big else "H"

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.is_big else "HHI4s"))


def _layout(data: bytes) -> _Layout | None:
    prefixes = _PREFIXES.match(data)
    view = memoryview(data)[prefixes.end() if prefixes else 0 :]
    order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]))
    if order is None or len(view) < 16:
        return None
    is_big = bytes(view[2:4]) in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), view, 8 if is_big else 4)
    return _Layout(view, order, is_big, start)


def _tags(layout: _Layout, start: int) -> Iterator[tuple[int, int | bytes]]:
    for tag, kind, _, payload in _entries(layout, start):
        if kind in (2, 7):
            yield tag, bytes(payload[:_MOST_BYTES])
        elif kind in _UNSIGNED and len(payload) >= _SIZES[kind]:
            yield tag, int(struct.unpack_from(layout.order + _UNSIGNED[kind], payload)[0])


def _entries(layout: _Layout, start: int, most: int = _MOST_TAGS) -> Iterator[tuple[int, int, int, memoryview]]:
    """Give tag, type, announced size and bytes of every entry of a directory that lies inside the file."""
    data = layout.data
    entry, inline = layout.entry, 8 if layout.is_big else 4
    at = start + struct.calcsize(layout.count_format)
    if at > len(data):
        return
    (count,) = struct.unpack_from(layout.order + layout.count_format, data, start)
    for _ in range(min(count, most)):
        if at + entry.size > len(data):
            return
        tag, kind, number, payload = entry.unpack_from(data, at)
        at += entry.size
        size = _SIZES.get(kind, 0) * number
        value = memoryview(payload)
        if size > inline:
            offset = int.from_bytes(payload, "little" if layout.order == "<" else "big")
            value = data[offset : offset + size]
        yield tag, kind, size, value[:size]
