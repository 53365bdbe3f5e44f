"""Small files that cost a decoder much time or memory, built from their parts: the worst of each format."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.images.crafted_tiff import shared_values, tiff_directories, tiff_strips, tiff_tile, tiff_values


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def grey(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), (128, 128, 128))


def jpeg_scans(repeats: int, side: int = 2000) -> bytes:
    """Repeat the last scan of a progressive JPEG."""
    whole = encoded(grey(side), "JPEG", progressive=True)
    start = whole.rfind(b"\xff\xda")
    return whole[:start] + whole[start:-2] * repeats + b"\xff\xd9"


def separate_scans(side: int) -> list[bytes]:
    """Return the parts of a baseline JPEG with one scan per component: everything before the scans, then each scan."""
    tables = encoded(Image.new("L", (side, side), 128), "JPEG")
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, side, side, 3) + b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    own, scan = tables.index(b"\xff\xc0"), tables.index(b"\xff\xda")
    before = tables[:own] + frame + tables[own + 2 + 11 : scan]
    data = tables[scan + 10 : -2]
    return [before, *(b"\xff\xda\0\x08\1" + bytes([i, 0, 0, 63, 0]) + data for i in (1, 2, 3))]


def jpeg_segments(count: int, size: int = 0, marker: int = 0xFE, prefix: bytes = b"") -> bytes:
    """Insert segments, comments by default, before the pixels."""
    whole = encoded(grey(16), "JPEG")
    data = prefix.ljust(size, b"a")
    return whole[:2] + (b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data) * count + whole[2:]


def png_chunks(count: int, name: bytes = b"tEXt", data: bytes = b"", *, is_late: bool = False) -> bytes:
    """Insert chunks before the pixels, or after them."""
    whole = encoded(grey(16), "PNG")
    chunk = struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    at = whole.index(b"IEND") - 4 if is_late else 33
    return whole[:at] + chunk * count + whole[at:]


def png_text(megabytes: int, count: int = 1, name: bytes = b"zTXt") -> bytes:
    """Insert compressed text, or a colour profile, of the given number of megabytes."""
    return png_chunks(count, name, b"a\0\0" + zlib.compress(bytes(megabytes * 2**20), 9))


def jpeg_exif(count: int = 2500, size: int = 33_000) -> bytes:
    """Return a JPEG without a resolution whose EXIF entries share one value."""
    whole = encoded(grey(16), "JPEG", exif=b"Exif\0\0" + shared_values(count, size))
    return whole[:2] + whole[whole.index(b"\xff\xe1") :]


def gif() -> tuple[bytes, int]:
    """Return a GIF without extensions, and where its frame begins: after the colours, one of which may be a comma."""
    whole = encoded(Image.new("P", (16, 16)), "GIF")
    at = 13 + 3 * 2 ** ((whole[10] & 7) + 1) if whole[10] & 0x80 else 13
    begin = whole.index(b",\0\0\0\0\x10\0\x10\0", at)
    return whole[:at] + whole[begin:], at


def gif_blocks(count: int, size: int = 1) -> bytes:
    """Insert a comment of `count` blocks before the image."""
    whole, at = gif()
    return whole[:at] + b"!\xfe" + (bytes([size]) + b"a" * size) * count + b"\0" + whole[at:]


def gif_extensions(count: int) -> bytes:
    whole, at = gif()
    return whole[:at] + b"!\xfe\0" * count + whole[at:]


def gif_frame(side: int) -> bytes:
    """Announce a frame of side x side pixels, to be cleared after it is shown, on a screen of 16 x 16."""
    whole, at = gif()
    frame = b"!\xf9\4\x08\0\0\0\0" + b"," + struct.pack("<HHHH", 0, 0, side, side)
    return whole[:at] + frame + whole[at + 9 :]


def gif_frames(count: int) -> bytes:
    whole, at = gif()
    return whole[:at] + whole[at:-1] * count + b";"


def bmp_runs(side: int) -> bytes:
    """Encode an image in runs of one pixel."""
    data = (b"\1\0" * side + b"\0\0") * side + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + header + bytes(1024) + data


def ppm_plain(side: int) -> bytes:
    """Write every value as text."""
    return b"P3 %d %d 255\n" % (side, side) + b"1 " * (3 * side * side)


def icon(data: bytes) -> bytes:
    """Put a PNG, or a bitmap without its file header, into an icon."""
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(data), 22) + data


def icon_entries(count: int) -> bytes:
    png = encoded(grey(16), "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 6 + 16 * count)
    return b"\0\0\1\0" + struct.pack("<H", count) + entry * count + png


def icon_bitmap(side: int) -> bytes:
    """Put a bitmap of side x side pixels without any data into an icon of 16 x 16."""
    return icon(struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(100))


def webp_frames(count: int, side: int = 16) -> bytes:
    frames = [Image.new("RGB", (side, side), (i % 256, i // 256, 0)) for i in range(count)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def webp_canvas(side: int) -> bytes:
    """Announce a canvas of side x side for an animation of 16 x 16."""
    whole = bytearray(webp_frames(2))
    at = whole.index(b"VP8X") + 12
    whole[at : at + 6] = struct.pack("<I", side - 1)[:3] * 2
    return bytes(whole)


def webp_chunks(count: int) -> bytes:
    """Put unknown chunks behind the image."""
    whole = encoded(grey(16), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0")
    body = whole[8:] + b"ABCD\0\0\0\0" * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_boxes(count: int) -> bytes:
    return encoded(grey(16), "AVIF") + b"\0\0\0\x08free" * count


def avif_exif(count: int = 2500, size: int = 33_000) -> bytes:
    return encoded(grey(16), "AVIF", exif=shared_values(count, size))


def jpeg2000(
    side: int,
    *,
    tile: int = 0,
    components: int = 3,
    precinct: int = 15,
    block: int = 4,
    levels: int = 5,
    layers: int = 1,
) -> bytes:
    """Return a JPEG 2000 codestream of empty tiles; `precinct` and `block` are the exponents of 2."""
    tile = tile or side
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, components) + b"\7\1\1" * components
    style = struct.pack(">BBHBBBBBB", 1, 0, layers, 0, levels, block, block, 0, 1)
    style += bytes([precinct * 16 + precinct]) * (levels + 1)
    quantities = b"\x40" + b"\x40" * (3 * levels + 1)
    tiles = (-(-side // tile)) ** 2
    parts = (b"\xff\x90" + struct.pack(">HHIBB", 10, i, 14, 0, 1) + b"\xff\x93" for i in range(min(tiles, 65_535)))
    segments = (b"\xff\x51", size), (b"\xff\x52", style), (b"\xff\x5c", quantities)
    head = b"".join(marker + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return b"\xff\x4f" + head + b"".join(parts) + b"\xff\xd9"


def jp2_boxes(count: int) -> bytes:
    whole = encoded(grey(16), "JPEG2000")
    at = whole.index(b"jp2h") - 4
    return whole[:at] + b"\0\0\0\x08free" * count + whole[at:]


def jp2_header_boxes(count: int) -> bytes:
    """Put empty boxes into the header's own box."""
    whole = encoded(grey(16), "JPEG2000")
    at = whole.index(b"jp2h")
    (size,) = struct.unpack_from(">I", whole, at - 4)
    free = b"\0\0\0\x08free" * count
    return whole[: at - 4] + struct.pack(">I", size + len(free)) + b"jp2h" + free + whole[at + 4 :]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "JPEG, 2,000 scans": lambda: jpeg_scans(2_000),
    "JPEG, 60 scans of 64 megapixels": lambda: jpeg_scans(60, 8_000),
    "JPEG, 4 million empty segments": lambda: jpeg_segments(4_000_000),
    "JPEG, 2,000 blocks of EXIF": lambda: jpeg_segments(2_000, 65_000, 0xE1, b"Exif\0\0"),
    "JPEG, 2,500 EXIF entries that share a value": jpeg_exif,
    "PNG, a million chunks": lambda: png_chunks(1_000_000),
    "PNG, a million chunks behind the pixels": lambda: png_chunks(1_000_000, is_late=True),
    "PNG, 100 texts of 1 MB, compressed": lambda: png_text(1, 100),
    "PNG, a text of 1 GB, compressed": lambda: png_text(1_000),
    "PNG, a colour profile of 1 GB, compressed": lambda: png_text(1_000, name=b"iCCP"),
    "TIFF, a million strips": lambda: tiff_strips(1_000_000),
    "TIFF, a tile of 400 megapixels": lambda: tiff_tile(20_000),
    "TIFF, 1,000 entries that share a value": lambda: tiff_values(1_000, 2_000_000),
    "TIFF, 60,000 entries": lambda: tiff_values(60_000, 8),
    "TIFF, 100,000 directories": lambda: tiff_directories(100_000),
    "GIF, a comment of 4 million blocks": lambda: gif_blocks(4_000_000),
    "GIF, a comment of 50 MB": lambda: gif_blocks(200_000, 255),
    "GIF, a million extensions": lambda: gif_extensions(1_000_000),
    "GIF, a frame of 169 megapixels": lambda: gif_frame(13_000),
    "GIF, 100,000 frames": lambda: gif_frames(100_000),
    "BMP, 10 million runs of one pixel": lambda: bmp_runs(3_200),
    "PPM, 9 megapixels as text": lambda: ppm_plain(3_000),
    "icon, a bitmap of 169 megapixels": lambda: icon_bitmap(13_000),
    "icon, a PNG of a million chunks": lambda: icon(png_chunks(1_000_000)),
    "icon, 65,535 entries": lambda: icon_entries(65_535),
    "WebP, a canvas of 268 megapixels": lambda: webp_canvas(16_383),
    "WebP, 3 million chunks": lambda: webp_chunks(3_000_000),
    "WebP, 3,000 frames": lambda: webp_frames(3_000),
    "AVIF, 3 million boxes": lambda: avif_boxes(3_000_000),
    "AVIF, 2,500 EXIF entries that share a value": avif_exif,
    "JPEG 2000, 100 megapixels": lambda: jpeg2000(10_000),
    "JPEG 2000, 62,500 tiles": lambda: jpeg2000(5_000, tile=20),
    "JPEG 2000, precincts of one pixel": lambda: jpeg2000(4_000, precinct=1),
    "JPEG 2000, blocks of 16 pixels": lambda: jpeg2000(5_000, block=0),
    "JPEG 2000, 65,535 layers": lambda: jpeg2000(1_000, layers=65_535),
    "JPEG 2000, 3 million boxes": lambda: jp2_boxes(3_000_000),
    "JPEG 2000, 3 million boxes in its header": lambda: jp2_header_boxes(3_000_000),
}
