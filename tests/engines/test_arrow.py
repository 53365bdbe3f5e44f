"""A network that sees an image as it is, flipped, or both, from one decoding."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipelines.backbones import Embedding, load_backbone
from pipelines.backbones import backbone as backbone_module
from pipelines.backbones.views import CroppedImage
from pipelines.engines import load_or_convert
from pipelines.engines.arrow import embed_batches, with_views
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.torch_engine import TorchEngine
from pipelines.images.crop import Box


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
    found = list(backbone.embed(contents, with_views(network, ((0, False), (0, True))), batch=2))
    assert decoded == contents and passed == [1, 1, 2, 2]
    assert [each.failure for each in found] == [None, "empty", None, None]
    plain = list(backbone.embed(contents, engine, batch=2))
    for both, alone in zip(found, plain, strict=True):
        if both.features is not None and alone.features is not None:
            columns = alone.features.reshape(3, 32, 32)
            np.testing.assert_array_equal(both.features, np.concatenate([alone.features, columns[:, :, ::-1].ravel()]))
    (flipped,) = backbone.embed(contents[:1], with_views(engine, ((0, True),)))
    np.testing.assert_array_equal(flipped.features, found[0].features[3072:])


def test_without_flips_the_network_itself_is_returned() -> None:
    def network(pixels: Any) -> Any:
        return pixels

    assert with_views(network, ((0, False),)) is network


def test_each_view_takes_its_crop() -> None:
    pixels = np.arange(2 * 2 * 1 * 3 * 3, dtype=np.uint8).reshape(2, 2, 1, 3, 3)  # two images of two crops
    run = with_views(lambda values: values[:, 0, :, 0].astype(np.float32), ((0, False), (1, False), (1, True)))
    first, second = pixels[:, 0, 0, :, 0], pixels[:, 1, 0, :, 0]
    np.testing.assert_array_equal(run(pixels), np.concatenate([first, second, second[:, ::-1]], axis=1))


def test_a_crop_of_the_whole_image_is_not_computed_again() -> None:
    passed = []

    def network(values: Any) -> Any:
        passed.append(len(values))
        return values[:, 0, :, 0].astype(np.float32)

    pixels = np.arange(3 * 2 * 1 * 3 * 3, dtype=np.uint8).reshape(3, 2, 1, 3, 3)
    pixels[1, 1] = pixels[1, 0]  # the crop of the second image is the whole image
    views = ((0, False), (0, True), (1, False), (1, True))
    found = with_views(network, views)(pixels)
    whole, crop = pixels[:, 0, 0, :, 0], pixels[:, 1, 0, :, 0]
    np.testing.assert_array_equal(found, np.concatenate([whole, whole[:, ::-1], crop, crop[:, ::-1]], axis=1))
    assert passed == [3, 3, 2, 2]


def test_boxes_reach_the_reader_and_fallbacks_pass_through() -> None:
    seen: list[Any] = []

    def embed(items: Any) -> Any:
        for item in items:
            seen.append(item)
            yield Embedding(np.zeros(2, np.float32))

    columns = {
        "content_hash": ["a", "b", "c"],
        "content": [b"1", b"2", None],
        "box_0": pa.nulls(3, pa.list_(pa.float64())),
        "box_1": [[0.1, 0.2, 0.3, 0.4], None, None],
        "fallbacks": [[None, None], [None, "no_motion"], [None, "few_images"]],
    }
    batch = pa.RecordBatch.from_pydict(columns)
    (found, rest) = embed_batches([batch.slice(0, 2), batch.slice(2)], embed)
    assert seen == [
        CroppedImage(b"1", [None, Box(0.1, 0.2, 0.3, 0.4)]),
        CroppedImage(b"2", [None, None]),
        CroppedImage(None, [None, None]),
    ]
    assert found.to_pydict()["fallbacks"] == columns["fallbacks"][:2] and rest.num_rows == 1
