"""Versions with crops: all contributions, of the whole image and of its crops, in the coordinates of the image."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from PIL import Image

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.views import CroppedImage, ViewReader
from pipelines.engines.torch_maps import TorchMapEngine
from pipelines.explanation.canvas import union
from pipelines.explanation.geometry import view_region
from pipelines.images.crop import Box
from pipelines.stages.explain.explainer import Explainer, Item, find_rows, load_inputs

from .test_explainer import png, scene

CROP = [0.5, 0.2, 0.4, 0.4]
VIEWS = ("motion1", "detection1")


def backbones(mode: str) -> tuple[Backbone, Backbone]:
    return load_backbone("irbis_tiny", resize_mode=mode), load_backbone("irbis_tiny", size=96, resize_mode=mode)


def logits(explainer: Explainer, engines: list, item: Item) -> float:
    """Return the logit of class 1 from the features, as featurize computes and joins them."""
    image = CroppedImage(item.content, item.crops)
    features = []
    inputs = [ViewReader(backbone)(image) for backbone in explainer.backbones]
    flips = (False, True) if explainer.average_flip else (False,)
    for flip in flips:
        parts = [
            engine.compute_maps(np.ascontiguousarray(pixels[[view], :, :: -1 if flip else 1])).features[0]
            for view in range(len(item.crops))
            for engine, pixels in zip(engines, inputs, strict=True)
        ]
        features.append(np.concatenate(parts))
    return float(np.mean(features, axis=0).astype(float) @ explainer.directions[1].astype(float))


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
@pytest.mark.parametrize("average_flip", [False, True])
def test_the_mean_of_the_canvas_is_the_logit(mode, average_flip) -> None:
    pair = backbones(mode)
    engines = [TorchMapEngine(backbone, "cpu") for backbone in pair]
    directions = np.random.default_rng(3).normal(size=(2, 2 * 576 * 3)).astype(np.float32)
    explainer = Explainer(pair, ("blank", "fox"), (1,), directions, "up_to_scale", average_flip, VIEWS)
    content = png(scene(True, height=120))
    items = [
        Item("0", "file:/0", [0.5, 0.5], [CROP, None], content),
        Item("1", "file:/1", [0.5, 0.5], [[0.0, 0.7, 0.3, 0.3], CROP], content),
        Item("2", "file:/2", [0.5, 0.5], [None, None], content),
    ]
    crops = [[box for i, box in enumerate(item.crops) if box or not i] for item in items]
    images = [(item, load_inputs(pair, CroppedImage(content, boxes))) for item, boxes in zip(items, crops, strict=True)]
    assert [inputs.pixels[0].shape[0] for _, inputs in images] == [2, 3, 1]
    regions = [[view_region(each.preprocessing, 160, 120, box) for each in pair for box in i.crops] for i in items]
    canvases = list(map(union, regions))
    for item, total in zip(items, explainer.sum_maps(images, engines, canvases), strict=True):
        expected = logits(explainer, engines, item)
        assert float(total.mean()) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_what_only_the_crop_shows_is_found_in_the_image() -> None:
    """Weights on the features of the crop alone, for a square that is in the crop."""
    backbone = load_backbone("irbis_tiny")
    engine = TorchMapEngine(backbone, "cpu")
    box = Box(*CROP)
    reader = ViewReader(backbone)
    seen, unseen = (
        engine.compute_maps(reader(CroppedImage(png(scene(shown)), [box]))[np.newaxis]).features[0]
        for shown in (True, False)
    )
    direction = np.concatenate([np.zeros_like(seen), seen - unseen])
    directions = np.stack([-direction, direction]).astype(np.float32)
    explainer = Explainer((backbone,), ("blank", "square"), (1,), directions, "up_to_scale", False, VIEWS[:1])
    item = Item("0", "file:/0", [0.5, 0.5], [CROP], png(scene(True)))
    ((_, _, found),) = explainer.explain([item], [engine], partial(load_inputs, (backbone,)))
    left, top, right, bottom = (edge / 160 for edge in (96, 40, 136, 80))
    assert left <= found.peak[0] <= right and top <= found.peak[1] <= bottom
    assert found.box.x == pytest.approx(left, abs=0.04) and found.box.y == pytest.approx(top, abs=0.08)
    assert found.box.x + found.box.width == pytest.approx(right, abs=0.04)


def test_a_view_without_a_crop_has_the_input_of_the_whole_image() -> None:
    box = Box(*CROP)
    assert find_rows([[None, box, None], [None, None, None], [None, box, box]]) == [[0, 2, 3], [1, 2, 4], [0, 2, 5]]


def test_the_image_of_a_crop_of_another_size_is_that_of_featurize() -> None:
    image = CroppedImage(png(np.asarray(Image.new("RGB", (200, 100), (9, 99, 9)))), [None, Box(*CROP)])
    backbone = load_backbone("irbis_tiny", crop_bottom=0.1)
    inputs = load_inputs((backbone,), image)
    np.testing.assert_array_equal(inputs.pixels[0], ViewReader(backbone)(image))
    assert (inputs.width, inputs.height) == (200, 100)
