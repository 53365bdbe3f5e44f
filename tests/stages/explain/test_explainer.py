"""The part that runs on workers, without Spark: decoding, maps of joined and flipped views, rows."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipelines.backbones import Backbone, Embedding, load_backbone
from pipelines.backbones.views import CroppedImage
from pipelines.engines.map_engine import require_consistent
from pipelines.engines.torch_maps import TorchMapEngine
from pipelines.explanation.boxes import Attention
from pipelines.images.crop import Box
from pipelines.stages.explain.batches import BOXES_ARROW_SCHEMA, FLAT, explain_batches
from pipelines.stages.explain.explainer import Explainer, Inputs, Item, load_inputs, split_contributions

SQUARE = (96, 40, 136, 80)  # left, top, right, bottom of what the class is about, in 160 x 160 pixels


def scene(with_square: bool, *, mirrored: bool = False, height: int = 160) -> np.ndarray:
    pixels = np.random.default_rng(1).normal(110, 4, (160, 160, 3))
    if with_square:
        left, top, right, bottom = SQUARE
        pixels[top:bottom, left:right] = 60
        pixels[top:bottom:4, left:right] = 230
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((160, height))
    return np.asarray(image)[:, ::-1] if mirrored else np.asarray(image)


def png(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def explainer_of(*backbones: Backbone, average_flip: bool = False) -> tuple[Explainer, list[TorchMapEngine]]:
    """Return an explainer whose class 1 is about the square, and class 0 is blank."""
    engines = [TorchMapEngine(backbone, "cpu") for backbone in backbones]
    parts = []
    for backbone, engine in zip(backbones, engines, strict=True):
        images = [Image.fromarray(scene(with_square)) for with_square in (True, False)]
        seen, unseen = engine.compute_maps(np.stack([backbone.preprocessing.apply(image) for image in images])).features
        parts.append(seen - unseen)
    direction = np.concatenate(parts)
    directions = np.stack([-direction, direction]).astype(np.float32)
    return Explainer(backbones, ("blank", "square"), (1,), directions, "exact", average_flip), engines


def explain(explainer: Explainer, engines: list[TorchMapEngine], *contents: bytes | None) -> list:
    items = [Item(f"{i:064}", f"file:/{i}.png", [0.6, 0.4], [], content) for i, content in enumerate(contents)]
    return list(explainer.explain(items, engines, partial(load_inputs, explainer.backbones)))


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load_backbone("irbis_tiny")


@pytest.fixture(scope="module")
def smaller() -> Backbone:
    return load_backbone("irbis_tiny", size=96)


def test_the_peak_is_in_the_square_and_the_box_around_it_also_where_the_image_is_predicted_blank(tiny) -> None:
    ((item, label, found),) = explain(*explainer_of(tiny), png(scene(True)))
    assert (item.path, label) == ("file:/0.png", 1)
    assert isinstance(found, Attention)
    left, top, right, bottom = (edge / 160 for edge in SQUARE)
    assert left <= found.peak[0] <= right and top <= found.peak[1] <= bottom
    x, y, width, height = found.box
    assert x == pytest.approx(left, abs=0.06) and x + width == pytest.approx(right, abs=0.06)
    assert y == pytest.approx(top, abs=0.15) and y + height == pytest.approx(bottom, abs=0.06)  # a cell above responds


def test_the_bar_that_is_cut_off_moves_the_box_up() -> None:
    backbone = load_backbone("irbis_tiny", crop_bottom=0.25)
    explainer, engines = explainer_of(load_backbone("irbis_tiny"))
    with_bar = np.concatenate([scene(True, height=120), np.zeros((40, 160, 3), np.uint8)])
    explainer = Explainer((backbone,), explainer.classes, (1,), explainer.directions, "exact")
    ((_, _, found),) = explain(explainer, engines, png(with_bar))
    _, top, _, bottom = (0.75 * edge / 160 for edge in SQUARE)
    assert top - 0.01 <= found.peak[1] <= bottom + 0.01
    assert found.box.y == pytest.approx(top, abs=0.11) and found.box.y + found.box.height == pytest.approx(
        bottom, abs=0.07
    )


def test_averaged_views_give_the_mirrored_box_for_the_mirrored_image(tiny) -> None:
    explainer, engines = explainer_of(tiny, average_flip=True)
    plain, mirrored = (
        each[2] for each in explain(explainer, engines, *map(png, (scene(True), scene(True, mirrored=True))))
    )
    assert mirrored.box.x == pytest.approx(1 - plain.box.x - plain.box.width, abs=1e-6)
    assert mirrored.box[1:] == pytest.approx(plain.box[1:], abs=1e-6)
    assert mirrored.peak == pytest.approx((1 - plain.peak[0], plain.peak[1]), abs=0.02)


def test_the_contributions_of_joined_backbones_sum_to_the_logit(tiny, smaller) -> None:
    explainer, engines = explainer_of(tiny, smaller)
    pixels = load_inputs((tiny, smaller), CroppedImage(png(scene(True)), [None])).pixels
    outputs = [engine.compute_maps(each) for engine, each in zip(engines, pixels, strict=True)]
    for found, backbone in zip(outputs, (tiny, smaller), strict=True):
        require_consistent(found, backbone, None)
    (parts,) = split_contributions(explainer.directions[[1]], (tiny, smaller), outputs, [None, None], [[0]])
    logit = sum(float(values.mean()) for part in parts for values in part.maps)
    features = np.concatenate([found.features[0] for found in outputs])
    assert logit == pytest.approx(float(explainer.directions[1].astype(float) @ features), rel=1e-4)
    ((_, _, found),) = explain(explainer, engines, png(scene(True)))
    assert SQUARE[0] / 160 <= found.peak[0] <= SQUARE[2] / 160


def test_weights_of_other_features_are_refused(tiny) -> None:
    explainer, engines = explainer_of(tiny)
    short = explainer.with_directions(explainer.directions[:, :-1])
    with pytest.raises(ValueError, match="575 weights, the backbones 576 features"):
        explain(short, engines, png(scene(True)))


def test_failures_and_flat_maps_stay_rows_in_their_order(tiny) -> None:
    explainer, engines = explainer_of(tiny)
    contents = [png(scene(True)), b"", png(np.full((160, 160, 3), 90, np.uint8)), png(scene(True))[:300]]
    paths = [f"file:/{i}.png" for i in range(4)]
    columns = [[f"{i:064}" for i in range(4)], paths, [[0.1, 0.9]] * 4, [[]] * 4, contents]
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(Item._fields))
    done: list[int] = []
    run = partial(explainer.explain, engines=engines, read=partial(load_inputs, explainer.backbones))
    (rows,) = explain_batches([batch], explainer.classes, run, done.append)
    assert rows.schema == BOXES_ARROW_SCHEMA and done == [4]
    table = rows.to_pylist()
    assert [row["path"] for row in table] == paths
    assert [row["failure"] for row in table] == [None, "empty", None, "truncated"]
    assert [row["label"] for row in table] == ["square", None, "square", None]
    assert table[0]["x"] > 0 and table[1]["x"] is None
    flat = explainer.with_directions(np.zeros_like(explainer.directions))
    ((_, _, found),) = explain(flat, engines, contents[0])
    assert found is None
    run = partial(flat.explain, engines=engines, read=partial(load_inputs, explainer.backbones))
    row = next(explain_batches([batch.slice(0, 1)], explainer.classes, run)).to_pylist()[0]
    assert (row["x"], row["failure"], row["failure_detail"]) == (None, None, FLAT)


def test_an_image_is_decoded_once_for_all_backbones(tiny, smaller, monkeypatch) -> None:
    from pipelines.backbones import views as module

    decoded = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda content, **limits: decoded.append(limits) or decode(content, **limits))
    inputs = load_inputs((tiny, smaller), CroppedImage(png(scene(True)), [None, Box(0.5, 0.5, 0.25, 0.25)]))
    assert isinstance(inputs, Inputs) and [each.shape for each in inputs.pixels] == [(2, 160, 160, 3), (2, 96, 96, 3)]
    assert (inputs.width, inputs.height) == (160, 160)
    assert decoded == [{"max_pixels": tiny.max_pixels, "min_side": None}]
    too_large = load_inputs((load_backbone("irbis_tiny", max_pixels=100),), CroppedImage(png(scene(True)), [None]))
    assert isinstance(too_large, Embedding) and too_large.failure == "too_large"
