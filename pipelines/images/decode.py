"""Decode the bytes of an image to upright RGB pixels."""

from __future__ import annotations

from PIL import Image, ImageFile

from pipelines.errors import ImageError
from pipelines.images import exif, fast_jpeg
from pipelines.images.color import to_rgb
from pipelines.images.containers import is_truncated
from pipelines.images.decode_errors import DECODER_ERRORS, classify_decode_error
from pipelines.images.header import read_exif_tags
from pipelines.images.open_image import ReadTracker, open_image
from pipelines.images.pillow_warnings import suppress_pillow_warnings
from pipelines.schemas import Failure

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    content: bytes, *, max_pixels: int, max_bytes: int | None = None, min_side: int | None = None
) -> Image.Image:
    """Return the image upright and in mode RGB, without metadata that could rotate it again.

    Decodes the first frame or page only. `min_side` allows a JPEG to be decoded at 1/2, 1/4 or 1/8 of its scale,
    as long as its shorter side keeps twice that many pixels: much faster for large images, with slightly different
    values after resizing. For modes and transparency see `color.to_rgb`.
    Raises ImageError with the failure and the decoder's own message.
    """
    with suppress_pillow_warnings():
        image = open_image(content, max_pixels=max_pixels, max_bytes=max_bytes)
        transposition = _TRANSPOSITIONS.get(exif.read_orientation(read_exif_tags(image, content)))
        try:
            rgb = _load(image, content, min_side)
        except DECODER_ERRORS as error:
            raise classify_decode_error(error, image.format or "", content) from error
    # All versions of Pillow rotate TIFF themselves while loading.
    if transposition is not None and image.format != "TIFF":
        rgb = rgb.transpose(transposition)
    rgb.info = {}
    return rgb


def _load(image: ImageFile.ImageFile, content: bytes, min_side: int | None) -> Image.Image:
    format_, stream = image.format or "", image.fp
    if min_side and format_ == "JPEG":
        image.draft(None, (2 * min_side, 2 * min_side))
    if format_ == "JPEG" and image.mode == "RGB" and (rgb := fast_jpeg.decode_scaled_jpeg(content, image.size)):
        return rgb
    image.load()
    # LOAD_TRUNCATED_IMAGES makes Pillow accept truncated files (see open_image); reject them here.
    if isinstance(stream, ReadTracker) and _has_run_out(stream, format_, content):
        raise ImageError(Failure.TRUNCATED, f"{format_}: image file is truncated")
    return to_rgb(image)


def _has_run_out(stream: ReadTracker, format_: str, content: bytes) -> bool:
    """Return whether the decoder lacked bytes. JPEG 2000's reads beyond the end of complete files too."""
    return is_truncated(format_, content) if format_ == "JPEG2000" else stream.ran_out
