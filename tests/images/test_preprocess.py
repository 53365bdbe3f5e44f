from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.images.preprocess import Preprocessing
from pipelines.images.resize import resize_pillow


def noise(width: int, height: int) -> Image.Image:
    grain = np.random.default_rng(width * height).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return Image.fromarray(grain.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "size", [(341, 256), (256, 341), (640, 480), (301, 455), (256, 256), (100, 90), (1000, 70), (3, 40)]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_equals_torchvision_to_the_pixel(size: tuple[int, int], interpolation: Any) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    mode = transforms.InterpolationMode(interpolation)
    reference = transforms.Compose([transforms.Resize(256, interpolation=mode), transforms.CenterCrop(224)])
    image = noise(*size)
    ours = Preprocessing(resize_mode="crop", interpolation=interpolation).apply(image, resize_pillow)
    assert np.array_equal(ours, np.asarray(reference(image)))


def test_crop_of_other_numbers_equals_torchvision_too() -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    reference = transforms.Compose([transforms.Resize(235), transforms.CenterCrop(230)])
    image = noise(333, 222)
    ours = Preprocessing(resize_mode="crop", size=230, resize=235).apply(image, resize_pillow)
    assert np.array_equal(ours, np.asarray(reference(image)))


def test_squash_is_pillows_resize_of_the_whole_image() -> None:
    image = noise(301, 200)
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    assert np.array_equal(Preprocessing().apply(image, resize_pillow), expected)


def test_pad_keeps_the_proportions_on_the_mean_colour() -> None:
    result = Preprocessing(resize_mode="pad", size=100).apply(Image.new("RGB", (200, 100), (255, 0, 0)))
    assert result[50, 50].tolist() == [255, 0, 0]
    assert (result[25:75] == (255, 0, 0)).all()
    assert (result[:25] == (124, 116, 104)).all()
    assert (result[75:] == (124, 116, 104)).all()


def test_crop_bottom_removes_the_info_bar_without_bleeding() -> None:
    array = np.full((100, 120, 3), 40, np.uint8)
    array[93:] = 255
    image = Image.fromarray(array)
    for resize_mode in ("squash", "crop"):
        assert (Preprocessing(resize_mode=resize_mode, crop_bottom=0.07).apply(image) == 40).all()  # type: ignore[arg-type]
    assert Preprocessing(crop_bottom=0.06).apply(image).max() == 255


@pytest.mark.parametrize("resize_mode", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000), (50_000, 1)])
def test_odd_shapes_come_out_square(resize_mode: Any, size: tuple[int, int]) -> None:
    result = Preprocessing(resize_mode=resize_mode, crop_bottom=0.5).apply(Image.new("RGB", size, (9, 99, 199)))
    assert result.shape == (224, 224, 3)
    assert result.dtype == np.uint8
    assert result[111, 111].tolist() == [9, 99, 199]


def test_centre_of_a_long_strip_stays_the_centre() -> None:
    strip = np.zeros((4, 4000, 3), np.uint8)
    strip[:, 2000:] = 255
    row = Preprocessing(resize_mode="crop").apply(Image.fromarray(strip))[100, :, 0]
    assert row[:60].max() == 0
    assert row[-60:].min() == 255


@pytest.mark.filterwarnings("error")
def test_limit_of_the_process_on_pixels_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert Preprocessing(size=8, crop_bottom=0.1).apply(Image.new("RGB", (300, 200))).shape == (8, 8, 3)


def test_result_may_be_written_to() -> None:
    assert Preprocessing().apply(Image.new("RGB", (5, 5))).flags.writeable


def test_an_image_of_another_mode_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="mode L, RGB was expected"):
        Preprocessing().apply(Image.new("L", (5, 5)))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "squash224-bilinear"),
        ({"size": 96}, "squash96-bilinear"),
        ({"interpolation": "bicubic"}, "squash224-bicubic"),
        ({"resize_mode": "crop"}, "crop224of256-bilinear"),
        ({"resize_mode": "crop", "resize": 232}, "crop224of232-bilinear"),
        ({"resize_mode": "pad"}, "pad224-bilinear"),
        ({"mean": [0.5, 0.5, 0.5]}, "squash224-bilinear-mean0.5,0.5,0.5"),
        ({"std": (0.5, 0.5, 0.25)}, "squash224-bilinear-std0.5,0.5,0.25"),
        ({"mean": (0.485, 0.456, 0.4061)}, "squash224-bilinear-mean0.485,0.456,0.4061"),
        ({"crop_bottom": 0.07}, "squash224-bilinear-bottom0.07"),
        ({"mean": (0, 0, 0), "std": (1, 1, 1)}, "squash224-bilinear-mean0.0,0.0,0.0-std1.0,1.0,1.0"),
    ],
)
def test_name_says_what_differs_from_the_defaults(options: dict[str, Any], name: str) -> None:
    assert Preprocessing(**options).name == name
    assert str(Preprocessing(**options)) == name


def test_equal_numbers_are_equal_and_hashable_whatever_their_type() -> None:
    assert Preprocessing(mean=[0, 0, 0]) == Preprocessing(mean=(0.0, 0.0, 0.0))  # type: ignore[arg-type]
    assert len({Preprocessing(), Preprocessing(std=[0.229, 0.224, 0.225])}) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 224.0}, "size is 224.0"),
        ({"size": True}, "size is True"),
        ({"resize_mode": "stretch"}, "resize_mode is 'stretch': expected one of squash, crop, pad"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos'"),
        ({"resize_mode": "crop", "size": 300}, "size 300 does not fit into resize 256"),
        ({"mean": (123.675, 116.28, 103.53)}, "mean is .*each 0 to 1"),
        ({"std": (0.2, 0.0, 0.2)}, "std is .*above 0"),
        ({"std": (0.2, 0.2)}, "std is .*three numbers"),
        ({"mean": None}, "mean is None"),
        ({"crop_bottom": 1.0}, "crop_bottom is 1.0"),
        ({"crop_bottom": -0.1}, "crop_bottom is -0.1"),
        ({"crop_bottom": float("nan")}, "crop_bottom is nan"),
        ({"crop_bottom": "7 %"}, "crop_bottom is '7 %'"),
        ({"size": 0, "crop_bottom": 2}, "size is 0.*crop_bottom is 2"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_all_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocessing(**options)


def test_hint_for_the_decoder_covers_what_is_cut_off() -> None:
    assert Preprocessing().min_decode_side == 224
    assert Preprocessing(resize_mode="crop").min_decode_side == 256
    assert Preprocessing(crop_bottom=0.5).min_decode_side == 448
