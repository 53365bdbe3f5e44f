"""What an image's header says: its size, and when and by which camera it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PIL import ImageFile

from pipelines.images import exif
from pipelines.images.containers import jpeg_exif, png_chunks
from pipelines.images.ifd import Tags, read_tags
from pipelines.images.open_image import open_image
from pipelines.images.pillow_warnings import suppress_pillow_warnings


@dataclass(frozen=True)
class Header:
    """Hold what is known of an image before its pixels are decoded.

    `width` and `height` are pixels of the upright image. `captured_at` has no zone: it is the camera's own
    clock. `format` is Pillow's name; an MPO is the JPEG that it begins with.
    """

    width: int
    height: int
    captured_at: datetime | None
    camera: str | None
    format: str


def read_header(content: bytes, *, max_pixels: int, max_bytes: int) -> Header:
    """Give the header of an image, without decoding a pixel.

    Raises ImageError for what its first bytes and its header give away; that the pixels are cut off or
    broken only shows in `decode`.
    """
    with suppress_pillow_warnings():
        image = open_image(content, max_pixels=max_pixels, max_bytes=max_bytes)
        tags = exif_tags(image, content)
    width, height = _stored_size(image, tags)
    if exif.orientation(tags) >= 5:
        width, height = height, width
    return Header(width, height, exif.captured_at(tags), exif.camera(tags), image.format or "")


def exif_tags(image: ImageFile.ImageFile, content: bytes) -> Tags:
    """Give the EXIF tags of an opened image, empty where it has none that can be read."""
    if image.format == "TIFF":
        return read_tags(content)
    block = jpeg_exif(content) if image.format == "JPEG" else image.info.get("exif")
    if not block and image.format == "PNG":
        block = _png_exif(image, content)
    return read_tags(block) if isinstance(block, bytes) and block else {}


def _stored_size(image: ImageFile.ImageFile, tags: Tags) -> tuple[int, int]:
    """Give the size as stored: some versions of Pillow turn a TIFF's on opening, some on loading."""
    width, height = tags.get(exif.IMAGE_WIDTH), tags.get(exif.IMAGE_LENGTH)
    if image.format == "TIFF" and isinstance(width, int) and isinstance(height, int):
        return width, height
    return image.size


def _png_exif(image: ImageFile.ImageFile, content: bytes) -> bytes:
    """Find EXIF in the text chunk of ImageMagick, or in a chunk after the pixels."""
    text = image.info.get("Raw profile type exif")
    if isinstance(text, str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return b""
    return next((content[begin:end] for name, begin, end in png_chunks(content) if name == b"eXIf"), b"")
