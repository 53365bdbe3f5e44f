"""Small JPEGs for reports."""

from __future__ import annotations

import base64
import io

from PIL import Image

from pipelines.images.decode import decode


def make_thumbnail(content: bytes, *, side: int = 224, max_pixels: int) -> bytes:
    """Return the image as a small upright JPEG without metadata; its longer side is at most `side` pixels.

    Never enlarges. Raises ImageError as `decode` does.
    """
    image = decode(content, max_pixels=max_pixels, min_side=side)
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()


def data_uri_aspect(uri: str) -> float:
    """Return width / height of an image that `to_data_uri` has encoded."""
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return image.width / image.height


def to_data_uri(jpeg: bytes) -> str:
    """Return a JPEG as a data URI, the `src` of an HTML `img` element."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
