"""Encode an image for a request to an endpoint: small, upright, without metadata."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from pipelines.images import exif
from pipelines.images.containers import strip_metadata
from pipelines.images.decode import decode
from pipelines.images.header import read_exif_tags
from pipelines.images.open_image import open_image

MAX_PIXELS = 100_000_000  # as images.max_megapixels
MAX_JPEG_SIDE = 65_500  # of libjpeg; longer strips become PNG


def encode(image: str | Path | bytes, *, side: int = 448, quality: int = 90) -> str:
    """Return an image, a file or its bytes, as base64 for the column `image` of a served model.

    The image is decoded as by the model, turned upright, reduced to `side` pixels at its shorter side and compressed as
    JPEG of `quality`; metadata such as coordinates are left out. With `side` twice the input of the backbone,
    probabilities change by thousandths. A JPEG that is upright and small enough keeps its pixels and its compression.
    Raises OSError if the file cannot be read, ImageError if it is not an image or has more than 100 megapixels.
    """
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    rgb = decode(content, max_pixels=MAX_PIXELS, min_side=side)  # scales JPEGs, down to twice that side
    scale = side / min(rgb.size)
    if scale >= 1 and _is_upright_jpeg(content):
        return base64.b64encode(strip_metadata("JPEG", content)).decode("ascii")
    if scale < 1:
        width, height = (max(side, round(length * scale)) for length in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(rgb.size) > MAX_JPEG_SIDE:
        rgb.save(buffer, "PNG")
    else:
        rgb.save(buffer, "JPEG", quality=quality, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _is_upright_jpeg(content: bytes) -> bool:
    image = open_image(content, max_pixels=MAX_PIXELS, max_bytes=None)
    return image.format == "JPEG" and exif.read_orientation(read_exif_tags(image, content)) == 1
