"""raw_pixels, a baseline without a network: every engine computes the same numbers as NumPy."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.backbones import load_backbone
from pipelines.engines import Engine, load_or_convert
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.torch_engine import TorchEngine
from pipelines.errors import SettingsError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def by_numpy(image: Image.Image) -> np.ndarray[Any, Any]:
    """Return an image of 32 x 32 pixels as features: channel by channel, row by row."""
    pixels = (np.asarray(image, np.float64) / 255 - MEAN) / STD
    return pixels.transpose(2, 0, 1).ravel()


def resized(content: bytes, precision: str) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    if precision == "fast":  # decodes a large JPEG smaller
        image.draft(None, (64, 64))
    return image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("engine", ["reference", "torch", "openvino"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_every_engine_gives_the_numbers_of_numpy_on_real_images(shared_data, tmp_path, engine, precision) -> None:
    contents = [path.read_bytes() for path in sorted((shared_data / "trashnet").rglob("*.jpg"))[::500]]
    backbone = load_backbone("raw_pixels", precision=precision)
    network: Engine | None = None
    if engine == "torch":
        network = TorchEngine(backbone, "cpu")
    if engine == "openvino":
        network = OpenVinoEngine(load_or_convert(backbone, str(tmp_path)), backbone)
    found = list(backbone.embed(contents, network, batch=4))
    assert len(found) == 6
    for content, each in zip(contents, found, strict=True):
        assert each.features is not None and (each.features.shape, each.features.dtype) == ((3072,), np.float32)
        off = np.abs(each.features - by_numpy(resized(content, precision)))
        assert (off > 1e-5).mean() <= (0 if engine == "reference" else 0.02)  # engines scale faster, by other roundings
        assert off.max() <= 1.01 / 255 / min(STD)


@pytest.mark.parametrize("resize_mode", ["squash", "crop", "pad"])
def test_the_numbers_of_the_preprocessing_count_here_too(resize_mode: str) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (50, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (found,) = load_backbone("raw_pixels", resize_mode=resize_mode, resize=32, crop_bottom=0.2).embed([file.getvalue()])
    kept = Image.fromarray(pixels[:40])
    padded = Image.new("RGB", (32, 32), (124, 116, 104))  # the mean colour
    padded.paste(kept.resize((32, 20), Image.Resampling.BILINEAR), (0, 6))
    expected = {
        "squash": kept.resize((32, 32), Image.Resampling.BILINEAR),
        "crop": kept.resize((51, 32), Image.Resampling.BILINEAR).crop((10, 0, 42, 32)),
        "pad": padded,
    }
    assert found.features == pytest.approx(by_numpy(expected[resize_mode]), abs=1e-5)


def test_its_identity_says_that_there_are_no_weights() -> None:
    chosen = load_backbone("raw_pixels")
    assert chosen.feature_id == "raw_pixels@none/squash32-bilinear"
    assert pickle.loads(pickle.dumps(chosen.without_weights())).feature_id == chosen.feature_id


def test_weights_and_other_sizes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "raw_pixels.pth"
    file.write_bytes(b"weights")
    with pytest.raises(SettingsError, match=r"^featurize.weights = .*: raw_pixels has no weights\. Leave it out, or"):
        load_backbone("raw_pixels", weights=str(file))
    with pytest.raises(SettingsError, match=r"images.size = 224: raw_pixels takes 32 pixels a side"):
        load_backbone("raw_pixels", size=224)
