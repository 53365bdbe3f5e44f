from __future__ import annotations

import gc
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.images import fast_jpeg
from pipelines.images.decode import decode
from tests.images.outcome import outcome, pillows

ready = pytest.mark.skipif(not fast_jpeg.AVAILABLE, reason="no simplejpeg, or a Pillow before 11.2")
SIZES = [(1, 1), (7, 5), (64, 64), (341, 256), (300, 201), (801, 599), (1300, 1000), (2500, 1700)]
KINDS: list[dict[str, Any]] = [
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 2},
    {"progressive": True},
    {"optimize": True, "quality": 30},
    {"restart_marker_rows": 1},
    {"keep_rgb": True},
]


def jpeg(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    rng = np.random.default_rng(width * height)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@ready
@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_are_pillows_to_the_last_value(
    size: tuple[int, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jpeg(*size, **options)
    found = fast_jpeg.decode_scaled_jpeg(content, size)
    assert found is not None and found.mode == "RGB" and found.size == size
    assert np.array_equal(np.asarray(found), pillows(content, monkeypatch))


@ready
@pytest.mark.parametrize(("min_side", "scale"), [(400, 1), (250, 2), (130, 4), (60, 8)])
def test_smaller_scales_have_the_values_of_pillow(min_side: int, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = jpeg(1301, 1099)
    found = outcome(content, min_side)
    assert found.shape == (-(-1099 // scale), -(-1301 // scale), 3)
    assert np.array_equal(found, pillows(content, monkeypatch, min_side))


@ready
def test_decode_takes_them_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Image.new("RGB", (9, 7), "red")
    monkeypatch.setattr(fast_jpeg, "decode_scaled_jpeg", lambda content, size: expected if size == (9, 7) else None)
    assert decode(jpeg(9, 7), max_pixels=100) is expected


@ready
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_are_left_to_pillow(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = jpeg(40, 30, mode)
    monkeypatch.setattr(
        fast_jpeg, "decode_scaled_jpeg", lambda content, size: pytest.fail("three colours were expected")
    )
    assert outcome(content).shape == (30, 40, 3)


@ready
def test_what_is_cut_or_broken_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = jpeg(341, 256)
    scan = whole.index(b"\xff\xda") + 14
    cases = {
        "cut": whole[:-300],
        "without an end": whole[:-2],
        "zeros inside": whole[: scan + 500] + bytes(200) + whole[scan + 700 :],
        "a marker inside": whole[: scan + 500] + b"\xff\xd3" + whole[scan + 502 :],
        "no scan": whole[:scan],
    }
    found = {name: outcome(content) for name, content in cases.items()}
    for name, content in cases.items():
        assert fast_jpeg.decode_scaled_jpeg(content, (341, 256)) is None, name
        assert np.array_equal(found[name], pillows(content, monkeypatch)), name
    assert found["cut"][0] == "truncated"
    assert found["a marker inside"].shape == (256, 341, 3)


@ready
def test_a_size_that_is_not_the_files_is_refused() -> None:
    content = jpeg(100, 80)
    assert fast_jpeg.decode_scaled_jpeg(content, (100, 81)) is None
    assert fast_jpeg.decode_scaled_jpeg(content, (99, 80)) is None
    assert fast_jpeg.decode_scaled_jpeg(content, (50, 40)) is not None


@ready
@pytest.mark.parametrize(("size", "place"), [((341, 256), 16), ((1400, 1400), 16), ((1500, 1400), 0)])
def test_rows_of_what_fits_the_cache_are_not_written_past_it(
    size: tuple[int, int], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, decode_jpeg = [], fast_jpeg.decode_jpeg

    def noted(content: bytes, colours: str, *, buffer: Any, **options: Any) -> Any:
        places.append(buffer.ctypes.data % 32)
        return decode_jpeg(content, colours, buffer=buffer, **options)

    monkeypatch.setattr(fast_jpeg, "decode_jpeg", noted)
    assert fast_jpeg.decode_scaled_jpeg(jpeg(*size), size) is not None
    assert places == [place]


@ready
def test_an_image_keeps_its_own_memory() -> None:
    contents = [jpeg(200 + number, 150) for number in range(30)]
    images = [decode(content, max_pixels=10**6) for content in contents]
    before = [np.asarray(image).copy() for image in images]
    gc.collect()
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(outcome, contents))
    for image, first, second in zip(images, before, again, strict=True):
        assert np.array_equal(np.asarray(image), first) and np.array_equal(first, second)
    images[0].paste((1, 2, 3), (0, 0, 5, 5))
    assert images[0].getpixel((4, 4)) == (1, 2, 3)


def test_pillow_decodes_where_simplejpeg_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_jpeg, "AVAILABLE", False)
    assert fast_jpeg.decode_scaled_jpeg(jpeg(40, 30), (40, 30)) is None
    assert outcome(jpeg(40, 30)).shape == (30, 40, 3)
