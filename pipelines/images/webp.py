"""Reject WebP images if libwebp is older than 1.3.2, where crafted images run code in the decoder (CVE-2023-4863)."""

from __future__ import annotations

import re

from PIL import features

from pipelines.errors import ImageError
from pipelines.images import exif
from pipelines.images.ifd import Tags
from pipelines.schemas import Failure

SAFE_LIBWEBP: tuple[int, ...] = (1, 3, 2)
_IN_TIFF = 50001  # libtiff's number for strips compressed as WebP


def check_libwebp() -> str | None:
    """Return why WebP images are not decoded and what to do; None if libwebp is safe or absent."""
    version = features.version("webp")
    if version is None or tuple(map(int, re.findall(r"\d+", version)[:3])) >= SAFE_LIBWEBP:
        return None
    return f"libwebp {version} runs code from crafted images (CVE-2023-4863): update Pillow to 10.0.1 or later"


def require_safe_libwebp(format_: str, tags: Tags) -> None:
    """Raise ImageError, unsupported_format, if an old libwebp would decode a WebP or a TIFF with WebP strips."""
    is_webp = format_ == "WEBP" or tags.get(exif.COMPRESSION) == _IN_TIFF
    if is_webp and (fault := check_libwebp()):
        raise ImageError(Failure.UNSUPPORTED_FORMAT, f"{format_}: {fault}")
