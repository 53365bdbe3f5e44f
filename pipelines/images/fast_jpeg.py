"""Decode the pixels of a JPEG to the values that Pillow gives, but faster: straight into the memory of the image.

Pillow has libjpeg-turbo write each row into a small buffer and copies it from there. Where that buffer happens to lie
on a multiple of 32 bytes, libjpeg-turbo writes past the cache, and the row must be fetched from memory again: a small
image takes a quarter longer, in one process and not in the next.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from PIL import Image

try:
    from simplejpeg import decode_jpeg
except ImportError:  # no wheel for this kind of machine: Pillow alone
    decode_jpeg = None

AVAILABLE = decode_jpeg is not None and hasattr(Image, "fromarrow")  # which Pillow has from 11.2 on
_VECTOR = 32  # bytes: rows that begin at a multiple of it are written past the cache
_CACHED = 8 * 2**20  # bytes of an image that the next step still finds in the cache; larger ones had better go past it


def decode_scaled_jpeg(content: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Give a JPEG of three colours in mode RGB at `size`: its own, or a half, a quarter or an eighth of it.

    None where libjpeg-turbo has anything to say about the file (Pillow knows what can be borne and what is a failure),
    and where simplejpeg or a Pillow that takes its pixels is missing.
    """
    if not AVAILABLE:
        return None
    width, height = size
    room = np.empty(4 * width * height + _VECTOR, np.uint8)
    wanted = _VECTOR // 2 if room.nbytes <= _CACHED else 0
    start = (wanted - room.ctypes.data) % _VECTOR
    pixels = room[start : start + 4 * width * height]
    try:
        shape = decode_jpeg(content, "RGBX", min_width=width, min_height=height, buffer=pixels).shape
    except ValueError:
        return None
    if shape[:2] != (height, width):
        return None
    quads = pa.Array.from_buffers(pa.uint32(), width * height, [None, pa.py_buffer(pixels)])
    return Image.fromarrow(quads, "RGB", size)
