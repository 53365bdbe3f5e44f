"""Limits on the structure of a file, checked on its bytes before a decoder reads them.

The numbers of bytes and pixels do not bound a decoder's work: a small file may announce a thousand scans, a million
strips, or a thousand values that share the same bytes. Ordinary files are far below these limits, and checking costs
microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import islice, takewhile

from pipelines.errors import ImageError
from pipelines.images import ifd, jpeg2000
from pipelines.images.containers import (
    find_jpeg_exif,
    iter_gif_blocks,
    iter_jpeg_markers,
    iter_png_chunks,
    iter_riff_chunks,
)
from pipelines.schemas import Failure

MAX_SCANS = 100  # of a JPEG: 10 are usual, some encoders write 30
MAX_SCANNED_PIXELS = 2_000_000_000  # of all scans of a JPEG together
MAX_SEGMENTS = 1_000  # before the pixels of a JPEG: a colour profile takes up to 255, a depth map about a hundred
MAX_EXIF_SEGMENTS = 10
MAX_CHUNKS = 100_000  # of PNG and WebP
MAX_BLOCKS = 10_000  # of data before the pixels of a GIF
MAX_BOXES = 10_000  # of JPEG 2000, on one level
MAX_ENTRIES = 1_000  # of a directory of TIFF or EXIF tags
MAX_SHARED_BYTES = 2**24  # of the values of a directory that overlap
MAX_STRIPS = 50_000  # strips or tiles of a TIFF
MAX_TILES = 4_096  # of JPEG 2000
MAX_CODE_BLOCKS = 500_000  # precincts and code blocks of JPEG 2000
MAX_ICONS = 256
BASE_MAX_PIXELS = 100_000_000
# Their limit on pixels is the usual one divided by these; a lower setting of max_pixels does not lower it further.
SLOW_DECODERS = {"JPEG2000": 4, "bmp_rle": 20, "ppm_plain": 20}

_SCAN, _APP1 = 0xDA, 0xE1
_PROGRESSIVE, _FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}, {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TILE_SIDES, _STRIP_OFFSETS = (0x0142, 0x0143), (0x0111, 0x0144)


def check_structure(format_: str, content: bytes, max_pixels: int) -> None:
    """Raise ImageError: too_complex if a file has more parts than a limit allows, too_large for too many pixels."""
    check = _CHECKS.get(format_)
    if check:
        check(content, max_pixels)


def check_decoding_cost(format_: str, decoder: str, content: bytes, pixels: int, max_pixels: int) -> None:
    """Raise ImageError, too_complex, if the decoder of an opened image takes too long for so many pixels."""
    if decoder in SLOW_DECODERS and pixels > (limit := _pixel_limit(decoder, max_pixels)):
        raise _too_complex(f"{pixels:,} pixels, too slow as {decoder}; the limit is {limit:,}")
    if format_ == "JPEG" and _has_many_scans(content):
        limit = max(1, min(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, pixels)))
        # Pixels and metadata may contain the same two bytes, so segments are parsed only if there are many.
        if content.count(b"\xff\xda") > limit:
            scans = (marker for marker, _, _ in iter_jpeg_markers(content) if marker == _SCAN)
            _require_at_most(scans, limit, f"scans of {pixels:,} pixels")


def _has_many_scans(content: bytes) -> bool:
    """Return whether a JPEG has several scans: it is progressive, or its first scan lacks a component."""
    components = 0
    for marker, begin, _ in islice(iter_jpeg_markers(content), MAX_SEGMENTS):
        if marker in _PROGRESSIVE:
            return True
        if marker in _FRAMES:
            components = content[begin + 5] if begin + 5 < len(content) else 0
        if marker == _SCAN:
            return content[begin : begin + 1] != bytes([components])
    return True


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError, too_large, for an image with more pixels than allowed."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(Failure.TOO_LARGE, f"{width} x {height} pixels, more than {max_pixels}", size)


def _pixel_limit(decoder: str, max_pixels: int) -> int:
    return max(BASE_MAX_PIXELS, max_pixels) // SLOW_DECODERS[decoder]


def check_directory(data: bytes) -> None:
    """Raise ImageError, too_complex, if the values of a TIFF or EXIF directory are larger than the file."""
    entries = ifd.read_tag_outline(data, MAX_ENTRIES + 1)
    _require_at_most(entries, MAX_ENTRIES, "entries of a directory of tags")
    size = sum(size for _, size, _ in entries)
    if size > max(MAX_SHARED_BYTES, len(data)):  # broken EXIF has values that overlap
        raise _too_complex(f"the values of its tags take {size:,} bytes, but all of them have {len(data):,}")


def _check_jpeg(content: bytes, max_pixels: int) -> None:
    before = list(islice(takewhile(lambda segment: segment[0] != _SCAN, iter_jpeg_markers(content)), MAX_SEGMENTS + 1))
    _require_at_most(before, MAX_SEGMENTS, "segments before the pixels")
    exifs = [begin for marker, begin, _ in before if marker == _APP1 and content[begin : begin + 4] == b"Exif"]
    _require_at_most(exifs, MAX_EXIF_SEGMENTS, "blocks of EXIF")
    if exif := find_jpeg_exif(content):
        check_directory(exif)


def _check_png(content: bytes, max_pixels: int) -> None:
    _require_at_most(iter_png_chunks(content), MAX_CHUNKS, "chunks")


def _check_gif(content: bytes, max_pixels: int) -> None:
    for i, size in enumerate(iter_gif_blocks(content)):
        if size:
            check_pixels(size, max_pixels)
        if i >= MAX_BLOCKS:
            raise _too_complex(f"more than {MAX_BLOCKS:,} blocks of data before the pixels")


def _check_tiff(content: bytes, max_pixels: int) -> None:
    check_directory(content)
    pieces = max(
        (number for tag, _, number in ifd.read_tag_outline(content, MAX_ENTRIES) if tag in _STRIP_OFFSETS), default=0
    )
    _require_at_most(range(pieces), MAX_STRIPS, "strips or tiles")
    width, height = (next(iter(ifd.read_numbers(content, tag)), 0) for tag in _TILE_SIDES)
    if width * height > max_pixels:
        raise _too_complex(f"tiles of {width} x {height} pixels; the limit is {max_pixels:,}")


def _check_webp(content: bytes, max_pixels: int) -> None:
    canvas = content[24:30] if content[12:16] == b"VP8X" else b""
    if len(canvas) == 6:
        width, height = (1 + int.from_bytes(part, "little") for part in (canvas[:3], canvas[3:]))
        check_pixels((width, height), max_pixels)
    _require_at_most(iter_riff_chunks(content), MAX_CHUNKS, "chunks")


def _check_jpeg2000(content: bytes, max_pixels: int) -> None:
    start = 0
    if content[:2] != b"\xff\x4f":
        outer = list(islice(jpeg2000.iter_boxes(content), MAX_BOXES + 1))
        _require_at_most(outer, MAX_BOXES, "boxes")
        for name, begin, end in outer:
            if name == b"jp2h":
                _require_at_most(jpeg2000.iter_boxes(content, begin, end), MAX_BOXES, "boxes in its header")
        start = next((begin for name, begin, _ in outer if name == b"jp2c"), len(content))
    frame, parts = None, 0
    for i, (marker, data) in enumerate(jpeg2000.iter_segments(content, start)):
        if frame is None:
            frame = jpeg2000.read_frame(data)
            if frame is None:
                return  # left to the decoder
            check_pixels((frame.width, frame.height), max_pixels)
            check_decoding_cost("JPEG2000", "JPEG2000", content, frame.width * frame.height, max_pixels)
            _require_at_most(range(frame.tiles), MAX_TILES, "tiles")
            _require_at_most(range(frame.components * frame.tiles), 4 * MAX_TILES, "components of all tiles")
        parts = max(parts, jpeg2000.count_blocks(marker, data, frame))
        _require_at_most(range(parts), MAX_CODE_BLOCKS, "precincts and code blocks")
        if i >= 4 * MAX_TILES:
            raise _too_complex(f"more than {4 * MAX_TILES:,} segments")


def _check_icon(content: bytes, max_pixels: int) -> None:
    """Check the images in an icon: they are decoded on opening, and may contradict the icon's directory."""
    (count,) = struct.unpack_from("<H", content.ljust(6, b"\0"), 4)
    _require_at_most(range(count), MAX_ICONS, "images in an icon")
    entries = range(6, min(6 + 16 * count, len(content) - 15), 16)
    for start in {int.from_bytes(content[entry + 12 : entry + 16], "little") for entry in entries}:
        if content[start : start + 4] == b"\x89PNG" and len(content) >= start + 24:
            check_pixels(struct.unpack_from(">II", content, start + 16), max_pixels)
            _require_at_most(iter_png_chunks(content[start:]), MAX_CHUNKS // MAX_ICONS, "chunks of an image in an icon")
        elif content[start : start + 4] == b"\x28\0\0\0" and len(content) >= start + 12:
            width, height = struct.unpack_from("<ii", content, start + 4)
            check_pixels((abs(width), abs(height) // 2), max_pixels)


def _require_at_most(parts: Iterable[object], limit: int, name: str) -> None:
    if sum(1 for _ in islice(parts, limit + 1)) > limit:
        raise _too_complex(f"more than {limit:,} {name}")


def _too_complex(detail: str) -> ImageError:
    return ImageError(Failure.TOO_COMPLEX, detail)


_CHECKS: dict[str, Callable[[bytes, int], None]] = {
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "GIF": _check_gif,
    "TIFF": _check_tiff,
    "WEBP": _check_webp,
    "JPEG2000": _check_jpeg2000,
    "ICO": _check_icon,
}
