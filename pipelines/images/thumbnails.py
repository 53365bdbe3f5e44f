"""Small JPEGs for reports."""

from __future__ import annotations

import base64
import io

from PIL import Image

from pipelines.images.decode import decode


def thumbnail(content: bytes, *, side: int = 224, max_pixels: int) -> bytes:
    """Give the image as a small upright JPEG without metadata; its longer side is at most `side`.

    Never enlarges. Raises ImageError as `decode` does.
    """
    image = decode(content, max_pixels=max_pixels, at_least=side)
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()


def data_uri(jpeg: bytes) -> str:
    """Give a JPEG as text that an `img` element of HTML takes as its source."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
