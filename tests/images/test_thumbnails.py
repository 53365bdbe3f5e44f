from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.images.thumbnails import make_thumbnail, to_data_uri


def photo(width: int, height: int, format_: str = "JPEG", **options: object) -> bytes:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


@pytest.mark.parametrize(
    ("size", "expected"),
    [((800, 600), (224, 168)), ((600, 800), (168, 224)), ((100, 50), (100, 50)), ((4000, 3), (224, 1))],
)
def test_longer_side_fits_and_nothing_is_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    small = opened(make_thumbnail(photo(*size), max_pixels=10**6))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", expected)


def test_thumbnail_is_upright_and_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    exif[0x8298] = "A name"
    small = opened(make_thumbnail(photo(400, 200, exif=exif.tobytes(), comment=b"secret"), side=80, max_pixels=10**6))
    assert small.size == (40, 80)
    assert "exif" not in small.info and "comment" not in small.info
    pixels = np.asarray(small).astype(int)
    assert np.abs(pixels[10, 20] - (255, 0, 0)).max() <= 5
    assert np.abs(pixels[70, 20] - (0, 0, 255)).max() <= 5


def test_every_mode_becomes_a_jpeg() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 30), 32768, np.uint16)).save(file, "PNG")
    small = opened(make_thumbnail(file.getvalue(), max_pixels=1000))
    assert np.asarray(small)[10, 10].tolist() == [128, 128, 128]


def test_bad_images_keep_their_failure() -> None:
    with pytest.raises(ImageError) as caught:
        make_thumbnail(b"<html>", max_pixels=10)
    assert caught.value.failure == "not_an_image"
    with pytest.raises(ImageError) as caught:
        make_thumbnail(photo(40, 30), max_pixels=1199)
    assert caught.value.failure == "too_large"


def test_data_uri_holds_the_bytes() -> None:
    jpeg = make_thumbnail(photo(20, 10), max_pixels=1000)
    start, text = to_data_uri(jpeg).split(",")
    assert start == "data:image/jpeg;base64"
    assert base64.b64decode(text) == jpeg
