"""A backbone's features: known values, in order, for any batches and failures between them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from pipelines.backbones import Backbone, torch_models
from pipelines.backbones.registry import ARCHITECTURES, Architecture
from pipelines.images.preprocess import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class Pixels(nn.Module):
    """A network whose features are the normalised input times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return (images * self.scale).flatten(1)


class Noisy(nn.Sequential):
    """A network whose features differ in training mode, by batch normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Register two small networks with an empty cache; return a list of the networks that are built."""
    seen: list[str] = []

    def counted(name: str, network: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        return lambda: seen.append(name) or network()  # type: ignore[func-returns-value]

    for name, network in {"pixels": Pixels, "noisy": Noisy}.items():
        known = Architecture(name, counted(name, network), lambda whole: whole, "head", input_size_range=(1, 224))
        monkeypatch.setitem(ARCHITECTURES, name, known)
    monkeypatch.setattr(torch_models, "_networks", {})
    return seen


def pixels_backbone(size: int = 2, scale: float = 1.0, **preprocessing: Any) -> Backbone:
    content = save({"scale": torch.tensor([scale])})
    return Backbone("pixels", content, Preprocessing(size=size, **preprocessing))


def noisy_backbone() -> Backbone:
    torch.manual_seed(2)
    network = Noisy()
    network(torch.randn(4, 3, 8, 8))  # move the running statistics away from 0 and 1
    return Backbone("noisy", save(network.state_dict()), Preprocessing(size=32))


def encode(colour: Any, mode: str = "RGB", form: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    return written(Image.new(mode, size, colour), form)


def written(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def noise(count: int) -> list[bytes]:
    pixels = np.random.default_rng(5).integers(0, 256, (count, 40, 48, 3), dtype=np.uint8)
    return [written(Image.fromarray(each)) for each in pixels]


def features(chosen: Backbone, *contents: Any, **options: Any) -> np.ndarray[Any, Any]:
    found = list(chosen.embed(contents, **options))
    assert [each.failure for each in found] == [None] * len(contents)
    return np.stack([each.features for each in found if each.features is not None])


def normalised(*rgb: int) -> list[float]:
    return [(value / 255 - mean) / std for value, mean, std in zip(rgb, MEAN, STD, strict=True)]


def test_pixels_arrive_as_red_green_blue_from_0_to_1_normalised() -> None:
    (found,) = features(pixels_backbone(), encode((255, 128, 0)))
    assert found.dtype == np.float32
    assert found.reshape(3, 4) == pytest.approx(np.repeat(normalised(255, 128, 0), 4).reshape(3, 4), abs=1e-6)
    assert found[0] == pytest.approx(2.2489, abs=1e-4)  # pure red, by hand


def test_rows_and_columns_keep_their_place() -> None:
    colours = [[(10, 20, 30), (40, 50, 60)], [(70, 80, 90), (100, 110, 120)]]
    (found,) = features(pixels_backbone(), written(Image.fromarray(np.array(colours, dtype=np.uint8))))
    expected = np.array([[normalised(*colour) for colour in row] for row in colours])
    assert found.reshape(3, 2, 2) == pytest.approx(expected.transpose(2, 0, 1), abs=1e-6)


def test_other_numbers_of_normalisation_are_used() -> None:
    chosen = pixels_backbone(1, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    assert features(chosen, encode((255, 0, 51)))[0] == pytest.approx([1.0, -1.0, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    ("content", "rgb"),
    [
        (encode(128, "L"), (128, 128, 128)),
        (encode((0, 255, 255, 0), "CMYK", "TIFF"), (255, 0, 0)),
        (encode((10, 20, 30, 255), "RGBA"), (10, 20, 30)),
        (encode(1, "1"), (255, 255, 255)),
    ],
    ids=["grey", "CMYK", "alpha", "one bit"],
)
def test_images_of_other_modes_become_three_channels(content: bytes, rgb: tuple[int, int, int]) -> None:
    assert features(pixels_backbone(1), content)[0] == pytest.approx(normalised(*rgb), abs=0.02)


def test_sixteen_bit_grey_becomes_three_channels_of_all_tones() -> None:
    image = Image.fromarray(np.array([[0, 65535], [32896, 65535]], dtype=np.uint16))
    (found,) = features(pixels_backbone(), written(image))
    tones = np.array([normalised(value, value, value) for value in (0, 255, 128, 255)])
    assert found.reshape(3, 4) == pytest.approx(tones.T, abs=0.02)


def test_order_is_kept_and_failures_stand_in_their_place() -> None:
    whole = [encode((value, 0, 0)) for value in (10, 20, 30)]
    contents = [whole[0], None, b"", b"<html>", whole[1], noise(1)[0][:-900], whole[2]]
    for batch in (1, 2, 3, 100):
        found = list(pixels_backbone(1).embed(iter(contents), batch=batch))
        failures = [each.failure for each in found]
        assert failures == [None, "empty", "empty", "not_an_image", None, "truncated", None]
        reds = [
            round((float(each.features[0]) * STD[0] + MEAN[0]) * 255) for each in found if each.features is not None
        ]
        assert reds == [10, 20, 30]
        assert [each.features is None for each in found] == [each is not None for each in failures]
        assert all(each.detail for each in found if each.failure in ("not_an_image", "truncated"))


def test_nothing_in_gives_nothing_out_and_failures_need_no_network(built: list[str]) -> None:
    assert list(pixels_backbone().embed([])) == []
    assert [each.failure for each in pixels_backbone().embed([None, b"no", None], batch=2)] == [
        "empty",
        "not_an_image",
        "empty",
    ]
    assert built == []


def test_bytes_of_any_kind_are_read() -> None:
    content = encode((1, 2, 3))
    one, two = features(pixels_backbone(), content, bytearray(content))  # Spark's rows hold bytearrays
    assert np.array_equal(one, two)


def test_an_image_over_the_limit_of_pixels_is_a_failure() -> None:
    chosen = replace(pixels_backbone(), max_pixels=47)  # of 8 x 6
    assert [each.failure for each in chosen.embed([encode((0, 0, 0))])] == ["too_large"]


def test_batches_of_any_size_give_the_same_features() -> None:
    contents = noise(9)
    chosen = noisy_backbone()
    one, three, eight = (features(chosen, *contents, batch=batch) for batch in (1, 3, 8))
    assert one.std(axis=0).min() > 0
    assert np.abs(one - three).max() < 1e-5 and np.abs(one - eight).max() < 1e-5


def test_the_same_image_twice_gives_equal_features() -> None:
    chosen, (content,) = noisy_backbone(), noise(1)
    assert np.array_equal(features(chosen, content), features(chosen, content))
    pair = features(chosen, content, content)
    assert np.array_equal(pair[0], pair[1])


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_below_one_is_refused_instead_of_giving_nothing(batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch is {batch}: 1 or more was expected"):
        list(pixels_backbone().embed([encode((0, 0, 0))], batch=batch))


def test_the_network_is_built_once_for_each_name_and_weights(built: list[str]) -> None:
    content = encode((255, 0, 0))
    once, other = pixels_backbone(), pixels_backbone(scale=2.0)
    for chosen in (once, once, pickle.loads(pickle.dumps(once)), replace(once, preprocessing=Preprocessing(size=1))):
        features(chosen, content, content, batch=1)
    assert built == ["pixels"]
    assert features(other, content) == pytest.approx(2 * features(once, content))
    assert built == ["pixels", "pixels"]
    features(noisy_backbone(), noise(1)[0])
    features(other, content)
    assert built == ["pixels", "pixels", "noisy"]  # two are kept: the oldest has gone
    assert len(torch_models._networks) == 2
