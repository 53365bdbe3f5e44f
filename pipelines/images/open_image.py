"""Open images with Pillow, and convert its exceptions to failures.

The class of the detected format is called directly instead of `Image.open`: only the decoder that the signature
names reads the bytes (never Ghostscript, never a guess), its own error message is kept, and the limit on pixels is
ours, so that the process-wide `Image.MAX_IMAGE_PIXELS` is neither needed nor changed.
"""

from __future__ import annotations

import importlib
import io
from functools import cache
from typing import Any

from PIL import ImageFile

from pipelines.errors import ImageError
from pipelines.images import exif
from pipelines.images.complexity import check_decoding_cost, check_pixels, check_structure
from pipelines.images.containers import strip_metadata
from pipelines.images.decode_errors import DECODER_ERRORS, classify_decode_error
from pipelines.images.ifd import Tags, read_tags
from pipelines.images.signatures import require_signature
from pipelines.images.webp import require_safe_libwebp
from pipelines.schemas import Failure

_DECODERS = {
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),  # of an MPO, its first image
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "ICO": ("IcoImagePlugin", "IcoImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
}


class ReadTracker(io.BytesIO):
    """A stream that records whether a decoder read beyond its end."""

    ran_out = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.ran_out |= not data and size != 0
        return data


def open_image(content: bytes, *, max_pixels: int, max_bytes: int | None) -> ImageFile.ImageFile:
    """Open an image without decoding its pixels.

    Raises ImageError: empty, not_an_image, unsupported_format, truncated, unreadable, too_large or too_complex.
    """
    format_ = _require_format(content, max_bytes)
    check_structure(format_, content, max_pixels)
    try:
        image = _open(format_, content)
    except ImageError:
        # Broken metadata must not make an image fail, but does in some versions of Pillow.
        bare = strip_metadata(format_, content)
        if bare == content or not _can_be_opened(format_, bare):
            raise
        image = _open(format_, bare)
    check_pixels(image.size, max_pixels)
    decoder = image.tile[0][0] if image.tile else ""
    check_decoding_cost(format_, decoder, content, image.width * image.height, max_pixels)
    return image


def _open(format_: str, content: bytes) -> ImageFile.ImageFile:
    # LOAD_TRUNCATED_IMAGES makes Pillow accept truncated files; track the stream to reject them all the same.
    stream = ReadTracker(content) if ImageFile.LOAD_TRUNCATED_IMAGES else io.BytesIO(content)
    try:
        image: ImageFile.ImageFile = _import_decoder(format_)(stream)
    except DECODER_ERRORS as error:
        ran_out = stream.tell() >= len(content)
        raise classify_decode_error(error, format_, content, ran_out=ran_out) from error
    return image


def _can_be_opened(format_: str, content: bytes) -> bool:
    try:
        _open(format_, content)
    except ImageError:
        return False
    return True


def _require_format(content: bytes, max_bytes: int | None) -> str:
    if content and max_bytes is not None and len(content) > max_bytes:
        raise ImageError(Failure.TOO_LARGE, f"{len(content)} bytes, more than {max_bytes}")
    format_ = require_signature(content)
    tags = read_tags(content) if format_ == "TIFF" else {}
    require_safe_libwebp(format_, tags)
    if _is_raw(tags):
        raise ImageError(Failure.UNSUPPORTED_FORMAT, "camera RAW on top of TIFF (DNG, NEF, ARW ...)")
    return format_


def _is_raw(tags: Tags) -> bool:
    """Return whether a TIFF is a RAW file, whose first directory is a small preview and not the image."""
    kind = tags.get(exif.NEW_SUBFILE_TYPE, 0)
    is_preview = isinstance(kind, int) and bool(kind & 1)
    return exif.DNG_VERSION in tags or (is_preview and exif.SUB_IFDS in tags)


@cache
def _import_decoder(format_: str) -> Any:
    module, name = _DECODERS[format_]
    try:
        plugin = importlib.import_module(f"PIL.{module}")
    except ImportError as error:  # AVIF before Pillow 11.3
        raise ImageError(Failure.UNSUPPORTED_FORMAT, f"{format_}: this Pillow has no decoder") from error
    if not getattr(plugin, "SUPPORTED", True):
        raise ImageError(Failure.UNSUPPORTED_FORMAT, f"{format_}: this Pillow was built without its decoder")
    return getattr(plugin, name)
