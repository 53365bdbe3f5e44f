"""Limits on how a file is built, read from its bytes before a decoder sees them.

Bytes and pixels do not bound a decoder's work: a small file may announce a thousand scans, a million strips, or a
thousand values that lie in the same bytes. Ordinary files are far below these limits, and looking costs microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import islice, takewhile

from pipelines.errors import ImageError
from pipelines.images import ifd, jpeg2000
from pipelines.images.containers import gif_blocks, jpeg_exif, jpeg_markers, png_chunks, riff_chunks
from pipelines.schemas import Failure

SCANS = 100  # of a JPEG: 10 are usual, some encoders write 30
SCANNED = 2_000_000_000  # pixels of all scans of a JPEG together
SEGMENTS = 1_000  # before the pixels of a JPEG: a colour profile takes up to 255, a depth map some hundred
EXIF_SEGMENTS = 10
CHUNKS = 100_000  # of PNG and WebP
BLOCKS = 10_000  # of data before the pixels of a GIF
BOXES = 10_000  # of JPEG 2000, on one level
ENTRIES = 1_000  # of a directory of TIFF or EXIF tags
SHARED_BYTES = 2**24  # of the values of a directory that lie in one another
PIECES = 50_000  # strips or tiles of a TIFF
TILES = 4_096  # of JPEG 2000
PARTS = 500_000  # precincts and code blocks of JPEG 2000
ICONS = 256
USUAL_PIXELS = 100_000_000
# These may have one in so many of the pixels that others may have; no lower limit on pixels lowers it.
COSTLY = {"JPEG2000": 4, "bmp_rle": 20, "ppm_plain": 20}

_SCAN, _APP1 = 0xDA, 0xE1
_PROGRESSIVE, _FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}, {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TILE_SIDES, _PIECES = (0x0142, 0x0143), (0x0111, 0x0144)


def check_structure(format_: str, content: bytes, max_pixels: int) -> None:
    """Raise ImageError: too_complex for a file of more parts than a limit allows, too_large for a costly canvas."""
    check = _CHECKS.get(format_)
    if check:
        check(content, max_pixels)


def check_work(format_: str, decoder: str, content: bytes, pixels: int, max_pixels: int) -> None:
    """Raise ImageError, too_complex, for an opened image whose decoder works too long on so many pixels."""
    if decoder in COSTLY and pixels > (most := _most_pixels(decoder, max_pixels)):
        raise _too_complex(f"{pixels:,} pixels, too slow as {decoder}; the limit is {most:,}")
    if format_ == "JPEG" and _has_many_scans(content):
        most = max(1, min(SCANS, SCANNED // max(1, pixels)))
        # Pixels and metadata may hold the same two bytes: only where there are many is each one looked at.
        if content.count(b"\xff\xda") > most:
            scans = (marker for marker, _, _ in jpeg_markers(content) if marker == _SCAN)
            _require_few(scans, most, f"scans of {pixels:,} pixels")


def _has_many_scans(content: bytes) -> bool:
    """Return whether a JPEG's decoder goes on after the first scan: it is progressive, or that lacks a colour."""
    components = 0
    for marker, begin, _ in islice(jpeg_markers(content), SEGMENTS):
        if marker in _PROGRESSIVE:
            return True
        if marker in _FRAMES:
            components = content[begin + 5] if begin + 5 < len(content) else 0
        if marker == _SCAN:
            return content[begin : begin + 1] != bytes([components])
    return True


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError, too_large, for an image of more pixels than allowed."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(Failure.TOO_LARGE, f"{width} x {height} pixels, more than {max_pixels}", size)


def _most_pixels(decoder: str, max_pixels: int) -> int:
    return max(USUAL_PIXELS, max_pixels) // COSTLY[decoder]


def check_directory(data: bytes) -> None:
    """Raise ImageError, too_complex, for a directory of TIFF or EXIF tags that is larger than its file, read out."""
    entries = ifd.read_tag_outline(data, ENTRIES + 1)
    _require_few(entries, ENTRIES, "entries of a directory of tags")
    size = sum(size for _, size, _ in entries)
    if size > max(SHARED_BYTES, len(data)):  # broken EXIF has values that overlap
        raise _too_complex(f"the values of its tags take {size:,} bytes, but all of them have {len(data):,}")


def _jpeg(content: bytes, max_pixels: int) -> None:
    before = list(islice(takewhile(lambda segment: segment[0] != _SCAN, jpeg_markers(content)), SEGMENTS + 1))
    _require_few(before, SEGMENTS, "segments before the pixels")
    exifs = [begin for marker, begin, _ in before if marker == _APP1 and content[begin : begin + 4] == b"Exif"]
    _require_few(exifs, EXIF_SEGMENTS, "blocks of EXIF")
    if exif := jpeg_exif(content):
        check_directory(exif)


def _png(content: bytes, max_pixels: int) -> None:
    _require_few(png_chunks(content), CHUNKS, "chunks")


def _gif(content: bytes, max_pixels: int) -> None:
    for i, size in enumerate(gif_blocks(content)):
        if size:
            check_pixels(size, max_pixels)
        if i >= BLOCKS:
            raise _too_complex(f"more than {BLOCKS:,} blocks of data before the pixels")


def _tiff(content: bytes, max_pixels: int) -> None:
    check_directory(content)
    pieces = max((number for tag, _, number in ifd.read_tag_outline(content, ENTRIES) if tag in _PIECES), default=0)
    _require_few(range(pieces), PIECES, "strips or tiles")
    width, height = (next(iter(ifd.read_numbers(content, tag)), 0) for tag in _TILE_SIDES)
    if width * height > max_pixels:
        raise _too_complex(f"tiles of {width} x {height} pixels; the limit is {max_pixels:,}")


def _webp(content: bytes, max_pixels: int) -> None:
    canvas = content[24:30] if content[12:16] == b"VP8X" else b""
    if len(canvas) == 6:
        width, height = (1 + int.from_bytes(part, "little") for part in (canvas[:3], canvas[3:]))
        check_pixels((width, height), max_pixels)
    _require_few(riff_chunks(content), CHUNKS, "chunks")


def _jpeg2000(content: bytes, max_pixels: int) -> None:
    start = 0
    if content[:2] != b"\xff\x4f":
        outer = list(islice(jpeg2000.iter_boxes(content), BOXES + 1))
        _require_few(outer, BOXES, "boxes")
        for name, begin, end in outer:
            if name == b"jp2h":
                _require_few(jpeg2000.iter_boxes(content, begin, end), BOXES, "boxes in its header")
        start = next((begin for name, begin, _ in outer if name == b"jp2c"), len(content))
    frame, parts = None, 0
    for i, (marker, data) in enumerate(jpeg2000.iter_segments(content, start)):
        if frame is None:
            frame = jpeg2000.read_frame(data)
            if frame is None:
                return  # the decoder's to judge
            check_pixels((frame.width, frame.height), max_pixels)
            check_work("JPEG2000", "JPEG2000", content, frame.width * frame.height, max_pixels)
            _require_few(range(frame.tiles), TILES, "tiles")
            _require_few(range(frame.components * frame.tiles), 4 * TILES, "components of all tiles")
        parts = max(parts, jpeg2000.count_blocks(marker, data, frame))
        _require_few(range(parts), PARTS, "precincts and code blocks")
        if i >= 4 * TILES:
            raise _too_complex(f"more than {4 * TILES:,} segments")


def _icon(content: bytes, max_pixels: int) -> None:
    """Look at an icon's images, which are decoded on opening and which may belie the icon's directory."""
    (count,) = struct.unpack_from("<H", content.ljust(6, b"\0"), 4)
    _require_few(range(count), ICONS, "images in an icon")
    entries = range(6, min(6 + 16 * count, len(content) - 15), 16)
    for start in {int.from_bytes(content[entry + 12 : entry + 16], "little") for entry in entries}:
        if content[start : start + 4] == b"\x89PNG" and len(content) >= start + 24:
            check_pixels(struct.unpack_from(">II", content, start + 16), max_pixels)
            _require_few(png_chunks(content[start:]), CHUNKS // ICONS, "chunks of an image in an icon")
        elif content[start : start + 4] == b"\x28\0\0\0" and len(content) >= start + 12:
            width, height = struct.unpack_from("<ii", content, start + 4)
            check_pixels((abs(width), abs(height) // 2), max_pixels)


def _require_few(things: Iterable[object], most: int, what: str) -> None:
    if sum(1 for _ in islice(things, most + 1)) > most:
        raise _too_complex(f"more than {most:,} {what}")


def _too_complex(detail: str) -> ImageError:
    return ImageError(Failure.TOO_COMPLEX, detail)


_CHECKS: dict[str, Callable[[bytes, int], None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "TIFF": _tiff,
    "WEBP": _webp,
    "JPEG2000": _jpeg2000,
    "ICO": _icon,
}
