"""WebP and an old libwebp: the image is rejected with the reason, before any decoder reads it."""

from __future__ import annotations

import struct

import pytest
from PIL import Image, features

from pipelines.errors import ImageError
from pipelines.images import webp
from pipelines.images.decode import decode
from pipelines.images.header import read_header
from pipelines.images.webp import SAFE_LIBWEBP, check_libwebp
from tests.images.crafted import encoded

FAULT = "libwebp {} runs code from crafted images (CVE-2023-4863): update Pillow to 10.0.1 or later"


@pytest.fixture(autouse=True)
def real_limit(trusted_webp: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webp, "SAFE_LIBWEBP", SAFE_LIBWEBP)


def refusal(content: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as in_header:
        read_header(content, max_pixels=1_000_000, max_bytes=1_000_000)
    with pytest.raises(ImageError) as in_decode:
        decode(content, max_pixels=1_000_000)
    assert str(in_header.value) == str(in_decode.value)
    return in_decode.value.failure, in_decode.value.detail


def webp_in_tiff() -> bytes:
    """Return a TIFF whose only strip is marked as WebP."""
    strip = encoded(Image.new("RGB", (16, 16)), "WEBP")
    tags = {256: 16, 257: 16, 258: 8, 259: 50001, 262: 2, 273: 8, 277: 3, 278: 16, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    padded = strip + bytes(len(strip) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("version", ["1.2.4", "1.3.1", "0.6.1", ""])
def test_an_old_libwebp_sees_no_webp_and_other_formats_are_read(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    image = Image.new("RGB", (16, 16), (10, 200, 30))
    content, png, tiff = encoded(image, "WEBP"), encoded(image, "PNG"), encoded(image, "TIFF")
    strips = webp_in_tiff()
    monkeypatch.setattr(features, "version", {"webp": version}.get)
    assert refusal(content) == ("unsupported_format", f"WEBP: {FAULT.format(version)}")
    assert refusal(strips) == ("unsupported_format", f"TIFF: {FAULT.format(version)}")
    for other in (png, tiff):
        assert decode(other, max_pixels=256).getpixel((3, 3)) == (10, 200, 30)


@pytest.mark.parametrize("version", ["1.3.2", "1.4.0", "1.10.0", "2.0.0"])
def test_a_safe_libwebp_decodes(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(features, "version", {"webp": version}.get)
    assert check_libwebp() is None
    assert decode(encoded(Image.new("RGB", (16, 16)), "WEBP"), max_pixels=256).size == (16, 16)


def test_a_pillow_without_libwebp_has_no_such_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "version", {"webp": None}.get)
    assert check_libwebp() is None
