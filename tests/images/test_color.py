from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.images import color
from pipelines.images.decode import decode

RED, GREEN = (255, 0, 0), (0, 255, 0)


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    image = decode(content, max_pixels=1_000_000)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey16(values: list[int]) -> np.ndarray[Any, Any]:
    return np.array([values], dtype=np.uint16)


@pytest.mark.parametrize(
    ("values", "tones_"),
    [
        ([0, 16384, 32768, 65535], [0, 64, 128, 255]),
        ([0, 257, 5000, 25700], [0, 1, 19, 100]),
        ([0, 1023, 2047, 4095], [0, 64, 127, 255]),  # 12 bits in 16
        ([0, 256, 512, 1023], [0, 64, 128, 255]),
        ([0, 10, 128, 255], [0, 10, 128, 255]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_keeps_its_tones(format_: str, values: list[int], tones_: list[int]) -> None:
    if format_ == "PPM":
        content = b"P5 4 1 65535\n" + grey16(values).astype(">u2").tobytes()
    else:
        content = encoded(Image.fromarray(grey16(values)), format_)
    assert pixels(content)[0].tolist() == [[tone] * 3 for tone in tones_]


def test_sixteen_bit_grey_of_big_endian_tiff_keeps_its_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(0, 65000, 100, dtype=np.uint16).reshape(65, 10)
    content = encoded(Image.frombytes("I;16B", (10, 65), values.astype(">u2").tobytes()), "TIFF")
    expected = (values / 257 + 0.5).astype(np.uint8)
    assert np.array_equal(pixels(content)[..., 1], expected)
    monkeypatch.setattr(color, "_STRIP_PIXELS", 70)  # strips of seven rows, the last one of two
    assert np.array_equal(pixels(content)[..., 1], expected)


def test_sixteen_bit_white_is_zero_is_inverted() -> None:
    content = encoded(Image.fromarray(grey16([0, 65535])), "TIFF", tiffinfo={262: 0})
    if Image.open(io.BytesIO(content)).tag_v2[262] != 0:  # type: ignore[attr-defined]
        content = content.replace(b"\x06\x01\x03\0\x01\0\0\0\x01", b"\x06\x01\x03\0\x01\0\0\0\0")
    assert pixels(content)[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("values", "tones_"),
    [
        ([0.0, 0.25, 1.0], [0, 64, 255]),
        ([0.0, 0.5, 1.25], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 50_000.0, 100_000.0], [0, 128, 255]),
        ([float("nan"), 0.5, 1.0], [0, 128, 255]),
        ([float("nan")] * 3, [0, 0, 0]),
    ],
)
def test_floats_keep_their_tones(values: list[float], tones_: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert pixels(encoded(image, "TIFF"))[0, :, 0].tolist() == tones_


def test_wide_integers_are_spread_over_their_own_range() -> None:
    image = Image.fromarray(np.array([[-1000, 0, 1000]], dtype=np.int32))
    assert pixels(encoded(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_transparency_is_shown_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    for x, pixel in enumerate([(*RED, 255), (*RED, 0), (0, 0, 0, 128)]):
        rgba.putpixel((x, 0), pixel)
    assert pixels(encoded(rgba))[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]
    assert pixels(encoded(rgba.convert("LA")))[0, 1].tolist() == [255, 255, 255]
    assert pixels(encoded(rgba, "WEBP", lossless=True))[0, 1].tolist() == [255, 255, 255]


def test_transparent_colour_of_palettes_and_of_png_is_shown_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN] + [0] * 762)
    palette.putpixel((1, 0), 1)
    for format_ in ("PNG", "GIF"):
        assert pixels(encoded(palette, format_))[0].tolist() == [[255, 0, 0], [0, 255, 0]]
        transparent = encoded(palette, format_, transparency=1)
        assert pixels(transparent)[0].tolist() == [[255, 0, 0], [255, 255, 255]]
    for mode, key, black in (("RGB", (0, 0, 0), (0, 0, 0)), ("L", 0, 0), ("1", 0, 0)):
        image = Image.new(mode, (2, 1), 255 if mode != "RGB" else RED)
        image.putpixel((1, 0), black)
        assert pixels(encoded(image, transparency=key))[0, 1].tolist() == [255, 255, 255]


def test_alpha_without_a_visible_pixel_is_ignored() -> None:
    assert pixels(encoded(Image.new("RGBA", (2, 2), (10, 20, 30, 0))))[0, 0].tolist() == [10, 20, 30]


def test_bilevel_is_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    for format_ in ("PNG", "TIFF", "PPM", "BMP"):
        assert pixels(encoded(image, format_))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_cmyk_and_lab_have_the_colours_they_mean() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for format_ in ("JPEG", "TIFF"):  # Pillow writes JPEG as Adobe does, inverted
        assert np.abs(pixels(encoded(cyan, format_))[8, 8].astype(int) - (0, 255, 255)).max() <= 3
    red = Image.new("LAB", (4, 4), (136, 128 + 80, 128 + 67))  # CIE L* 53, a* 80, b* 67
    lab = pixels(encoded(red, "TIFF"))[2, 2].astype(int)
    assert np.abs(lab - (255, 0, 0)).max() <= 12
