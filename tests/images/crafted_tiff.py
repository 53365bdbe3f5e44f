"""TIFF files that cost a decoder much time or memory, built entry by entry."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

Entry = tuple[int, int, int, bytes]  # tag, type, count, value or offset


def directory(entries: Sequence[Entry], behind: bytes = b"", following: int = 0) -> bytes:
    """Lay out a TIFF file of one directory; its values lie behind it, from `10 + 12 * len(entries) + 4` on."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", following) + behind


def number(tag: int, value: int) -> Entry:
    return tag, 4, 1, struct.pack("<I", value)


def _plain(width: int, height: int, more: Sequence[Entry]) -> list[Entry]:
    shape = {0x100: width, 0x101: height, 0x102: 8, 0x103: 1, 0x106: 1, 0x115: 1}
    return [*(number(tag, value) for tag, value in shape.items()), *more]


def tiff_strips(count: int, side: int = 10) -> bytes:
    """Split a small image into strips, nearly all at the same offset."""
    behind = 10 + 12 * 9 + 4
    offsets = struct.pack("<I", 10) * count
    lengths = struct.pack("<I", side) * count
    strips = [(0x111, 4, count, struct.pack("<I", behind)), (0x117, 4, count, struct.pack("<I", behind + 4 * count))]
    return directory(_plain(side, side, [*strips, number(0x116, 1)]), offsets + lengths)


def tiff_tile(side: int) -> bytes:
    """Store 10 x 10 pixels in one deflated tile of side x side."""
    pixels = zlib.compress(bytes(side * side), 9)
    entries = [number(0x100, 10), number(0x101, 10), number(0x102, 8), number(0x103, 8), number(0x106, 1)]
    entries += [number(0x115, 1), number(0x142, side), number(0x143, side), number(0x145, len(pixels))]
    return directory([*entries, number(0x144, 10 + 12 * 10 + 4)], pixels)


def shared_values(count: int, size: int, more: Sequence[Entry] = ()) -> bytes:
    """Return a TIFF directory whose entries all share the bytes of one value."""
    start = 10 + 12 * (count + len(more)) + 4
    entries = [(0xC000 + i % 0x3000, 7, size, struct.pack("<I", start)) for i in range(count)]
    return directory([*more, *entries], bytes(size))


def tiff_values(count: int, size: int) -> bytes:
    return shared_values(count, size, _plain(10, 10, [number(0x111, 8), number(0x117, 100), number(0x116, 10)]))


def tiff_directories(count: int) -> bytes:
    """Chain directories of one entry behind the image's own."""
    first = directory(_plain(10, 10, [number(0x111, 8), number(0x117, 100), number(0x116, 10)]), following=130)
    first = first.ljust(130, b"\0")
    others = (
        struct.pack("<H", 1)
        + struct.pack("<HHI", 0x100, 4, 1)
        + struct.pack("<I", 10)
        + struct.pack("<I", 148 + 18 * i)
        for i in range(count)
    )
    return first + b"".join(others) + struct.pack("<H", 0)
