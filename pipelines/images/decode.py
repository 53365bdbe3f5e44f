"""From the bytes of an image to its upright RGB pixels."""

from __future__ import annotations

from PIL import Image, ImageFile

from pipelines.errors import ImageError
from pipelines.images import exif, fast_jpeg
from pipelines.images.color import to_rgb
from pipelines.images.containers import is_truncated
from pipelines.images.decode_errors import DECODER_ERRORS, classify_decode_error
from pipelines.images.header import exif_tags
from pipelines.images.open_image import ReadTracker, open_image
from pipelines.images.pillow_warnings import suppress_pillow_warnings
from pipelines.schemas import Failure

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    content: bytes, *, max_pixels: int, max_bytes: int | None = None, at_least: int | None = None
) -> Image.Image:
    """Give the image upright and in mode RGB, without metadata that could turn it once more.

    Of animations and of files with several pages, the first. `at_least` lets a JPEG be decoded at 1/2, 1/4
    or 1/8 of its scale, as long as its shorter side keeps twice that many pixels: faster by far on large
    ones, with slightly other values after resizing. Modes and transparency: see `tones.to_rgb`.
    Raises ImageError with the failure and the decoder's own words.
    """
    with suppress_pillow_warnings():
        image = open_image(content, max_pixels=max_pixels, max_bytes=max_bytes)
        turn = _UPRIGHT.get(exif.orientation(exif_tags(image, content)))
        try:
            rgb = _load(image, content, at_least)
        except DECODER_ERRORS as error:
            raise classify_decode_error(error, image.format or "", content) from error
    # Pillow turns TIFF itself while loading, in all versions.
    if turn is not None and image.format != "TIFF":
        rgb = rgb.transpose(turn)
    rgb.info = {}
    return rgb


def _load(image: ImageFile.ImageFile, content: bytes, at_least: int | None) -> Image.Image:
    format_, stream = image.format or "", image.fp
    if at_least and format_ == "JPEG":
        image.draft(None, (2 * at_least, 2 * at_least))
    if format_ == "JPEG" and image.mode == "RGB" and (rgb := fast_jpeg.decode_scaled_jpeg(content, image.size)):
        return rgb
    image.load()
    # Where the process lets Pillow accept cut files (see opening), they are refused here.
    if isinstance(stream, ReadTracker) and _has_run_out(stream, format_, content):
        raise ImageError(Failure.TRUNCATED, f"{format_}: image file is truncated")
    return to_rgb(image)


def _has_run_out(stream: ReadTracker, format_: str, content: bytes) -> bool:
    """Say whether the decoder missed bytes; JPEG 2000's asks beyond the end of whole files too."""
    return is_truncated(format_, content) if format_ == "JPEG2000" else stream.ran_out
