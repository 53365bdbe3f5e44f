"""Parse the size of a JPEG 2000 file (ISO 15444-1) and count the parts that its decoder keeps in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SIZE, _STYLE, _COMPONENT_STYLE, _TILE_PART, _DATA, _END = 0x51, 0x52, 0x53, 0x90, 0x93, 0xD9


@dataclass(frozen=True)
class Frame:
    """The size of an image in pixels, the numbers of its tiles and components, and the size of a tile."""

    width: int
    height: int
    tiles: int
    components: int
    tile_width: int
    tile_height: int


def iter_boxes(content: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of the data of every box; a box of size 0 extends to the end."""
    end = len(content) if end is None else min(end, len(content))
    while begin + 8 <= end:
        size, start = int.from_bytes(content[begin : begin + 4], "big"), begin + 8
        if size == 1:
            size, start = int.from_bytes(content[begin + 8 : begin + 16], "big"), begin + 16
        stop = begin + size if size else end
        if stop < start:
            return
        yield content[begin + 4 : begin + 8], start, min(stop, end)
        begin = stop


def iter_segments(content: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and data of every segment of the main header and of the tile-part headers."""
    position, part_end = start + 2, len(content)
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _END:
        marker, end = content[position + 1], position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == _DATA:
            if part_end <= position:
                return
            position = part_end
            continue
        data = content[position + 4 : end]
        if marker == _TILE_PART and len(data) >= 6:
            length = int.from_bytes(data[2:6], "big")
            part_end = position + length if length else len(content)
        yield marker, data
        position = end


def read_frame(data: bytes) -> Frame | None:
    """Parse the SIZ segment; None if it is truncated or invalid."""
    if len(data) < 36:
        return None
    x1, y1, x0, y0, tile_width, tile_height, tile_x, tile_y, components = struct.unpack_from(">8IH", data, 2)
    if not tile_width or not tile_height or x1 <= x0 or y1 <= y0:
        return None
    tiles = -(-(x1 - tile_x) // tile_width) * -(-(y1 - tile_y) // tile_height)
    return Frame(x1 - x0, y1 - y0, tiles, components, min(tile_width, x1), min(tile_height, y1))


def count_blocks(marker: int, data: bytes, frame: Frame) -> int:
    """Count the precincts and code blocks of all tiles from a COD or COC segment; 0 for any other segment.

    An upper bound: subsampled components are counted at full size.
    """
    if marker == _STYLE:
        style, rest = data[:1], data[5:]
    elif marker == _COMPONENT_STYLE:
        skipped = 1 if frame.components < 257 else 2
        style, rest = data[skipped : skipped + 1], data[skipped + 1 :]
    else:
        return 0
    if len(rest) < 5:
        return 0
    levels, block_width, block_height = min(rest[0], 32), 2 + (rest[1] & 15), 2 + (rest[2] & 15)
    precincts = rest[5 : 6 + levels] if style and style[0] & 1 else b""
    count = 0
    for resolution in range(levels + 1):
        size = precincts[resolution] if resolution < len(precincts) else 0xFF
        width = -(-frame.tile_width >> (levels - resolution)) or 1
        height = -(-frame.tile_height >> (levels - resolution)) or 1
        across, down = size & 15, size >> 4
        count += _count_cells(width, height, across, down)
        count += _count_cells(width, height, min(across, block_width), min(down, block_height))
    return count * frame.components * frame.tiles


def _count_cells(width: int, height: int, across: int, down: int) -> int:
    """Count the cells of 2**across x 2**down pixels that cover an area."""
    return -(-width // 2**across) * -(-height // 2**down)
