"""A network that sees an image as it is, flipped, or both, from one decoding."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.backbones import backbone as backbone_module
from pipelines.backbones import load_backbone
from pipelines.engines import load_or_convert
from pipelines.engines.arrow import with_flip
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.torch_engine import TorchEngine


def image(seed: int) -> bytes:
    target = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_both_views_take_one_decoding_and_two_forward_passes(kind, tmp_path, monkeypatch) -> None:
    backbone = load_backbone("raw_pixels")
    engine: Any = TorchEngine(backbone, "cpu", batch=2)
    if kind == "openvino":
        engine = OpenVinoEngine(load_or_convert(backbone, str(tmp_path)), backbone, batch=2)
    decoded, passed = [], []

    def counting(content: bytes, **options: Any) -> Any:
        decoded.append(content)
        return decode(content, **options)

    def network(pixels: Any) -> Any:
        passed.append(len(pixels))
        return engine(pixels)

    decode = backbone_module.decode
    monkeypatch.setattr(backbone_module, "decode", counting)
    contents = [image(1), b"", image(2), image(3)]
    found = list(backbone.embed(contents, with_flip(network, (False, True)), batch=2))
    assert decoded == contents and passed == [1, 1, 2, 2]
    assert [each.failure for each in found] == [None, "empty", None, None]
    plain = list(backbone.embed(contents, engine, batch=2))
    for both, alone in zip(found, plain, strict=True):
        if both.features is not None and alone.features is not None:
            columns = alone.features.reshape(3, 32, 32)
            np.testing.assert_array_equal(both.features, np.concatenate([alone.features, columns[:, :, ::-1].ravel()]))
    (flipped,) = backbone.embed(contents[:1], with_flip(engine, (True,)))
    np.testing.assert_array_equal(flipped.features, found[0].features[3072:])


def test_without_flips_the_network_itself_is_returned() -> None:
    def network(pixels: Any) -> Any:
        return pixels

    assert with_flip(network, (False,)) is network
