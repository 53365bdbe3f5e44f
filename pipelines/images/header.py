"""Read the header of an image: its size, and when and by which camera it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PIL import ImageFile

from pipelines.images import exif
from pipelines.images.containers import find_jpeg_exif, iter_png_chunks
from pipelines.images.ifd import Tags, read_tags
from pipelines.images.open_image import open_image
from pipelines.images.pillow_warnings import suppress_pillow_warnings


@dataclass(frozen=True)
class Header:
    """Metadata of an image, known before its pixels are decoded.

    `width` and `height` are pixels of the upright image. `captured_at` has no time zone: it is the time of the
    camera's own clock. `format` is Pillow's name; an MPO counts as the JPEG that it starts with.
    """

    width: int
    height: int
    captured_at: datetime | None
    camera: str | None
    format: str


def read_header(content: bytes, *, max_pixels: int, max_bytes: int) -> Header:
    """Read the header of an image without decoding its pixels.

    Raises ImageError for faults in its first bytes or its header. Only `decode` detects truncated or corrupt
    pixels.
    """
    with suppress_pillow_warnings():
        image = open_image(content, max_pixels=max_pixels, max_bytes=max_bytes)
        tags = read_exif_tags(image, content)
    width, height = _read_stored_size(image, tags)
    if exif.read_orientation(tags) >= 5:
        width, height = height, width
    return Header(width, height, exif.read_captured_at(tags), exif.read_camera_serial(tags), image.format or "")


def read_exif_tags(image: ImageFile.ImageFile, content: bytes) -> Tags:
    """Return the EXIF tags of an opened image; empty if it has none that can be read."""
    if image.format == "TIFF":
        return read_tags(content)
    block = find_jpeg_exif(content) if image.format == "JPEG" else image.info.get("exif")
    if not block and image.format == "PNG":
        block = _find_png_exif(image, content)
    return read_tags(block) if isinstance(block, bytes) and block else {}


def _read_stored_size(image: ImageFile.ImageFile, tags: Tags) -> tuple[int, int]:
    """Return the size as stored: some versions of Pillow rotate a TIFF on opening, others on loading."""
    width, height = tags.get(exif.IMAGE_WIDTH), tags.get(exif.IMAGE_LENGTH)
    if image.format == "TIFF" and isinstance(width, int) and isinstance(height, int):
        return width, height
    return image.size


def _find_png_exif(image: ImageFile.ImageFile, content: bytes) -> bytes:
    """Find EXIF in the text chunk of ImageMagick, or in a chunk after the pixels."""
    text = image.info.get("Raw profile type exif")
    if isinstance(text, str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return b""
    return next((content[begin:end] for name, begin, end in iter_png_chunks(content) if name == b"eXIf"), b"")
