from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from pipelines.errors import ImageError
from pipelines.images.decode import decode
from pipelines.images.header import read_header
from pipelines.images.pillow_warnings import suppress_pillow_warnings

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def pixels(content: bytes, **options: Any) -> np.ndarray[Any, Any]:
    image = decode(content, max_pixels=1_000_000, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def failure(content: bytes, max_pixels: int = 1_000_000, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(content, max_pixels=max_pixels, **options)
    return caught.value.failure


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """An image without symmetry: red top left, green top right, blue below; with grain."""
    array = np.zeros((height, width, 3), np.uint8)
    array[: height // 2, : width // 2] = RED
    array[: height // 2, width // 2 :] = GREEN
    array[height // 2 :] = BLUE
    grain = np.random.default_rng(3).integers(0, 40, array.shape)
    return Image.fromarray(np.clip(array.astype(int) - grain + 20, 0, 255).astype(np.uint8))


def exif_with(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


STORED_AS: dict[int, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_end_upright(format_: str, orientation: int) -> None:
    upright = np.asarray(scene())
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](upright)))
    options = {"lossless": True} if format_ == "WEBP" else {}
    content = encoded(stored, format_, exif=exif_with(orientation), **options)
    assert np.array_equal(pixels(content), upright)


@pytest.mark.parametrize("format_", ["JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_end_upright_where_pixels_lose_a_little(format_: str, orientation: int) -> None:
    Image.init()
    if format_ not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    upright = np.asarray(scene())
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](upright)))
    content = encoded(stored, format_, exif=exif_with(orientation))
    found = pixels(content)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 10
    header = read_header(content, max_pixels=10_000, max_bytes=100_000)
    assert (header.width, header.height) == (96, 64)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "I;16", "I;16B"])
def test_turned_tiff_is_turned_once(compression: str | None, mode: str) -> None:
    grey = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2600
    upright = (grey / 257 + 0.5).astype(np.uint8)
    stored = np.ascontiguousarray(np.rot90(grey))
    image = {
        "RGB": lambda: Image.fromarray((stored / 257 + 0.5).astype(np.uint8)).convert("RGB"),
        "I;16": lambda: Image.fromarray(stored),
        "I;16B": lambda: Image.frombytes("I;16B", stored.shape[::-1], stored.astype(">u2").tobytes()),
    }[mode]()
    content = encoded(image, "TIFF", compression=compression, tiffinfo={0x0112: 6})
    assert np.array_equal(pixels(content)[..., 0], upright)
    header = read_header(content, max_pixels=100, max_bytes=10_000)
    assert (header.width, header.height) == (6, 4)


def test_result_cannot_be_turned_a_second_time() -> None:
    image = decode(encoded(scene(), "JPEG", exif=exif_with(6)), max_pixels=10_000)
    assert image.size == (64, 96)
    assert dict(image.getexif()) == {}
    assert "exif" not in image.info


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_read(format_: str) -> None:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    content = encoded(first, format_, save_all=True, append_images=[second])
    assert np.abs(pixels(content)[8, 8].astype(int) - RED).max() <= 3


def test_bytes_after_the_end_do_no_harm() -> None:
    for format_ in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        content = encoded(scene(), format_)
        assert np.array_equal(pixels(content + b"trailing garbage" * 50), pixels(content))


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000), (1, 50)])
def test_odd_shapes_are_read(size: tuple[int, int]) -> None:
    for format_ in ("JPEG", "PNG"):
        assert decode(encoded(Image.new("RGB", size), format_), max_pixels=12_000).size == size


CUT: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("PPM", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("WEBP", {}),
    ("JPEG2000", {}),
    ("ICO", {}),
]


@pytest.mark.parametrize("is_lenient", [False, True])
@pytest.mark.parametrize(("format_", "options"), CUT)
def test_cut_files_are_truncated_wherever_the_cut_and_whatever_the_process_allows(
    monkeypatch: pytest.MonkeyPatch, is_lenient: bool, format_: str, options: dict[str, Any]
) -> None:
    content = encoded(scene(), format_, **options)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", is_lenient)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        assert failure(content[: max(12, int(len(content) * share))]) == "truncated"
    assert decode(content, max_pixels=10_000).mode == "RGB"
    assert is_lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_broken_pixels_are_unreadable() -> None:
    content = bytearray(encoded(scene()))
    content[80:120] = bytes(40)
    assert failure(bytes(content)) == "unreadable"


def test_limits_hold_before_decoding() -> None:
    content = encoded(scene())
    assert failure(content, max_pixels=96 * 64 - 1) == "too_large"
    assert failure(content, max_bytes=len(content) - 1) == "too_large"
    assert decode(content, max_pixels=96 * 64).size == (96, 64)


def test_icon_that_holds_a_larger_image_than_it_says_is_too_large() -> None:
    inside = encoded(Image.new("RGB", (300, 300)))
    entry = bytes([16, 16, 0, 0, 1, 0, 32, 0]) + len(inside).to_bytes(4, "little") + (22).to_bytes(4, "little")
    icon = b"\0\0\1\0\1\0" + entry + inside
    assert failure(icon, max_pixels=89_999) == "too_large"
    assert decode(icon, max_pixels=90_000).size == (300, 300)
    bomb = icon[:38] + (60_000).to_bytes(4, "big") * 2 + icon[46:]
    assert failure(bomb) == "too_large"


@pytest.mark.parametrize(("min_side", "shorter"), [(None, 600), (400, 600), (150, 300), (100, 300), (75, 150)])
def test_jpeg_is_decoded_at_the_scale_that_keeps_twice_what_is_needed(min_side: int | None, shorter: int) -> None:
    content = encoded(scene(800, 600), "JPEG", exif=exif_with(6))
    image = decode(content, max_pixels=480_000, min_side=min_side)
    assert image.size == (shorter, shorter * 4 // 3)
    assert np.asarray(image)[5, 5, 2] > 150  # bottom left of the stored image is blue


def test_warnings_of_pillow_are_suppressed_here_and_kept_elsewhere() -> None:
    palette = Image.new("P", (2, 1))
    content = encoded(palette, transparency=bytes([0, 255]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(content, max_pixels=10)
        assert caught == []
        warn_as_pillow()
        assert len(caught) == 1
        with suppress_pillow_warnings():
            warn_as_pillow()
            other = threading.Thread(target=warn_as_pillow)
            other.start()
            other.join()
        assert len(caught) == 2


def warn_as_pillow() -> None:
    warnings.warn_explicit("Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 1, module=PngImagePlugin.__name__)


def test_errors_of_pillow_become_image_errors_with_its_own_words() -> None:
    with pytest.raises(ImageError) as caught:
        decode(encoded(scene(), "JPEG")[:-200], max_pixels=10_000)
    assert caught.value.detail.startswith("JPEG: image file is truncated")
    assert isinstance(caught.value.__cause__, OSError)
