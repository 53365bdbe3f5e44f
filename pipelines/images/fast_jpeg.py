"""Decode a JPEG to the same values as Pillow, but faster: directly into the memory of the image.

Pillow lets libjpeg-turbo write each row into a small buffer and copies it from there. If that buffer happens to be
aligned to 32 bytes, libjpeg-turbo uses non-temporal stores that bypass the cache, and the row is read back from memory:
a small image takes a quarter longer, in one process and not in the next.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from PIL import Image

try:
    from simplejpeg import decode_jpeg
except ImportError:  # no wheel for this platform: Pillow alone
    decode_jpeg = None

AVAILABLE = decode_jpeg is not None and hasattr(Image, "fromarrow")  # Pillow 11.2 and later
_VECTOR = 32  # bytes: rows aligned to it are written past the cache
_CACHED = 8 * 2**20  # bytes of an image that stay in the cache until the next step; larger ones should bypass it


def decode_scaled_jpeg(content: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Decode a JPEG of three components to mode RGB at `size`: its own, or a half, a quarter or an eighth of it.

    Returns None if libjpeg-turbo reports any warning or error (Pillow decides which of them are failures), or if
    simplejpeg or Pillow's `fromarrow` is missing.
    """
    if not AVAILABLE:
        return None
    width, height = size
    buffer = np.empty(4 * width * height + _VECTOR, np.uint8)
    offset = _VECTOR // 2 if buffer.nbytes <= _CACHED else 0
    start = (offset - buffer.ctypes.data) % _VECTOR
    pixels = buffer[start : start + 4 * width * height]
    try:
        shape = decode_jpeg(content, "RGBX", min_width=width, min_height=height, buffer=pixels).shape
    except ValueError:
        return None
    if shape[:2] != (height, width):
        return None
    quads = pa.Array.from_buffers(pa.uint32(), width * height, [None, pa.py_buffer(pixels)])
    return Image.fromarrow(quads, "RGB", size)
