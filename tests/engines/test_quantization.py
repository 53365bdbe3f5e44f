"""Quantization to 8 bits: step sizes, positions in the graph, exceptions, and processors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13 as ops
from torch import nn

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.torch_models import reference_features
from pipelines.engines import Graph, conversion, graph_cache, load_or_convert, openvino_engine, reduced_precision
from pipelines.engines.conversion import _drop_pooling_indices, _FromPixels, _trace
from pipelines.engines.cpu_features import cpu_has_vnni
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.quantization import calibration_images as calibration_images_module
from pipelines.engines.quantization import quantize as quantize_module
from pipelines.engines.quantization.calibration_images import (
    calibration_images,
    convolutions,
    cosine_similarities,
    count_macs,
)
from pipelines.engines.quantization.fake_quantize import ActivationRange, fake_quantize_activation
from pipelines.engines.quantization.fold_normalization import fold_normalization
from pipelines.engines.quantization.quantize import (
    _calibrate,
    _insert_fake_quantize,
    _propose_single_precision,
    quantize,
)

SINGLE = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}


def run(model: Any, values: Any) -> Any:
    return ov.Core().compile_model(model, "CPU", SINGLE)([values])[0]


@pytest.mark.parametrize(
    ("before", "seen", "all_bits", "lowest", "highest"),
    [
        ("relu", ActivationRange(0, 3), True, 0, 6),  # twice what calibration saw
        ("clamp", ActivationRange(0, 5.5), True, 0, 6),  # what the clamp allows
        ("clamp", ActivationRange(0, 2), True, 0, 4),
        ("nothing", ActivationRange(-2, 3), True, -2.3, 3.45),  # little more than calibration saw
        ("relu", ActivationRange(0, 3), False, 0, 3 * 255 / 127),  # what calibration saw in 7 bits
        ("clamp", ActivationRange(0, 5.5), False, 0, 6),
        ("nothing", ActivationRange(-2, 3), False, -2, -2 + 5 * 255 / 127),
        ("relu", ActivationRange(0, 0), True, 0, 2e-6),  # a channel that is always zero
    ],
)
def test_quantization_covers_the_possible_range(before, seen, all_bits, lowest, highest) -> None:
    given = ops.parameter([5], np.float32)
    cut = {"relu": ops.relu, "clamp": lambda each: ops.clamp(each, 0, 6), "nothing": lambda each: each}[before](given)
    step = fake_quantize_activation(cut.output(0), seen, all_bits=all_bits)
    found = run(ov.Model([ops.result(step)], [given]), np.float32([-1e3, 1e3, 0, lowest / 2, highest / 2]))
    width = (highest - lowest) / 255
    np.testing.assert_allclose(found[:2], [lowest, highest], atol=1.01 * width)
    assert abs(found[2]) < 1e-6  # padding and what a ReLU cuts stay what they are
    np.testing.assert_allclose(found[3:], [lowest / 2, highest / 2], atol=0.51 * width)


def test_without_vnni_what_calibration_saw_stays_within_7_bits() -> None:
    given = ops.parameter([256], np.float32)
    step = fake_quantize_activation(given.output(0), ActivationRange(-1, 2), all_bits=False)
    found = run(ov.Model([ops.result(step)], [given]), np.linspace(-1, 2, 256, dtype=np.float32))
    assert 120 <= len(np.unique(found)) <= 128


def begins(*layers: nn.Module, **preprocessing: Any) -> tuple[Any, Any]:
    """Return the graph of a network of a few layers with pixels as input, and its preprocessing."""
    known = load_backbone("irbis_tiny")
    backbone = replace(known, preprocessing=replace(known.preprocessing, size=20, **preprocessing))
    pixels = torch.zeros(1, 20, 20, 3, dtype=torch.uint8)
    model = _trace(_FromPixels(nn.Sequential(*layers), backbone).eval(), pixels)
    model.reshape([-1, 20, 20, 3])
    _drop_pooling_indices(model)
    conversion.apply_moc_transformations(model, cf=False)
    return model, backbone.preprocessing


def filters(inputs: int, outputs: int, side: int = 3, **options: Any) -> nn.Conv2d:
    torch.manual_seed(outputs)
    return nn.Conv2d(inputs, outputs, side, **options)


PIXELS = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_first_convolution_takes_pixels_as_they_are_and_pads_with_the_mean_colour(padding) -> None:
    # Mean colours in whole steps and weights in 127ths of their largest: nothing is rounded.
    mean, std = (124 / 255, 116 / 255, 104 / 255), (0.25, 0.2, 0.3)
    convolution = filters(3, 8, padding=padding, stride=2)
    with torch.no_grad():
        scaled = convolution.weight / torch.tensor(std).reshape(1, 3, 1, 1)
        most = scaled.abs().amax((1, 2, 3), keepdim=True)
        convolution.weight.copy_((scaled / most * 127).round() / 127 * most * torch.tensor(std).reshape(1, 3, 1, 1))
    model, preprocessing = begins(convolution, nn.ReLU(), mean=mean, std=std)
    expected = run(model, PIXELS)
    fold_normalization(model, preprocessing)
    assert "Multiply" not in {node.get_type_name() for node in model.get_ops()}
    np.testing.assert_allclose(run(model, PIXELS), expected, atol=2e-5)


@pytest.mark.parametrize("layers", [(nn.AvgPool2d(2), filters(3, 4)), (filters(3, 4, bias=False), nn.ReLU())])
def test_a_graph_that_begins_otherwise_is_left_as_it_is(layers) -> None:
    model, preprocessing = begins(*layers)
    before = [node.get_type_name() for node in model.get_ordered_ops()]
    fold_normalization(model, preprocessing)
    assert [node.get_type_name() for node in model.get_ordered_ops()] == before


class Fire(nn.Module):
    """Max-pool and concatenate, as SqueezeNet does; `also` uses the values before the pooling, too."""

    def __init__(self, also: bool = False) -> None:
        super().__init__()
        self.left, self.right, self.last, self.also = filters(3, 4), filters(3, 5), filters(9, 6), also

    def forward(self, pixels: torch.Tensor) -> Any:
        left, right = torch.relu(self.left(pixels)), torch.relu(self.right(pixels))
        chosen = nn.functional.max_pool2d(torch.cat([left, right], 1), 3, 2)
        found = torch.relu(self.last(chosen)).flatten(1)
        return torch.cat([found, right.flatten(1)], 1) if self.also else found


def quantized_inputs(model: Any) -> list[str]:
    """Return the inputs of the FakeQuantize nodes of activations, in the order of the graph."""
    every = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    kinds = [node.input_value(0).get_node().get_type_name() for node in every]
    return [kind for kind in kinds if kind != "Constant"]


@pytest.mark.parametrize("also", [False, True])
def test_poolings_and_concatenations_are_quantized_at_their_inputs_unless_shared(also) -> None:
    model, _ = begins(Fire(also))
    ranges = _calibrate(model, PIXELS)
    found = _insert_fake_quantize(model, ranges, set(), True)
    first = quantized_inputs(found)[0]
    assert quantized_inputs(found) == ([first, "Concat"] if also else [first, "Relu", "Relu"])
    behind = _insert_fake_quantize(model, ranges, {each.get_friendly_name() for each in convolutions(model)[2:]}, True)
    (last,) = [each for each in convolutions(behind) if each.get_input_shape(1)[0] == 6]
    step = fake_quantize_activation(last.input_value(0), ranges[quantize_module._source_key(last)], all_bits=True)
    last.input(0).replace_source_output(step.output(0))
    weights = quantize_module.fake_quantize_weights(np.array(last.input_value(1).get_node().data), 1)
    last.input(1).replace_source_output(weights.output(0))
    np.testing.assert_allclose(run(found, PIXELS), run(behind, PIXELS), atol=1e-5)


def test_what_loses_most_for_its_work_is_kept_first_and_nothing_is_rounded_where_all_loses_too_much(
    monkeypatch,
) -> None:
    monkeypatch.setattr(quantize_module, "_CANDIDATES", 3)
    monkeypatch.setattr(quantize_module, "_SINGLE_PRECISION_COUNTS", (1, 2))
    model, _ = begins(Fire(), nn.Unflatten(1, (6, 6, 6)), filters(6, 2))
    names = [node.get_friendly_name() for node in convolutions(model)]
    loss = dict(zip(names, (0.2, 0.1, 0.3, 0.9), strict=True))  # the third has a quarter of the others' work
    monkeypatch.setattr(quantize_module, "count_macs", lambda *_: dict(zip(names, (4, 4, 1, 4), strict=True)))
    monkeypatch.setattr(quantize_module, "_insert_fake_quantize", lambda _, __, kept, ___: set(names) - kept)
    monkeypatch.setattr(quantize_module, "compute_features", lambda rounded, _: sum(loss[name] for name in rounded))
    monkeypatch.setattr(quantize_module, "cosine_similarities", lambda found, _: np.array([1 - found]))
    choices = list(_propose_single_precision(model, {}, PIXELS, PIXELS, True))
    assert choices == [set(), {names[2]}, {names[2], names[0]}, set(names)]
    monkeypatch.setattr(quantize_module, "count_macs", lambda *_: dict(zip(names, (1, 4, 9, 4), strict=True)))
    assert list(_propose_single_precision(model, {}, PIXELS, PIXELS, True))[1] == {names[0]}


def test_multiplications_are_counted_for_each_kind_of_convolution() -> None:
    model, _ = begins(filters(3, 4), filters(4, 8, groups=4, padding=1), filters(8, 2, side=1))
    assert list(count_macs(model, 20).values()) == [27 * 4 * 18 * 18, 9 * 8 * 18 * 18, 8 * 2 * 18 * 18]


def test_a_network_whose_8_bits_are_never_near_enough_stays_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(quantize_module, "_MIN_COSINE", 1.1)
    model, preprocessing = begins(filters(3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert quantize(model, preprocessing, all_bits=True) is model
    monkeypatch.setattr(quantize_module, "_MIN_COSINE", 0.5)
    assert quantize(model, preprocessing, all_bits=True) is not model


@pytest.fixture
def fast() -> Backbone:
    return load_backbone("irbis_tiny", precision="fast")


def request_in_single_precision(model: Any, images: Any, precision: str = "f32") -> Any:
    """Compile a copy for one image at a time, as `compile_request` does, without any 8-bit kernel."""
    copy = model.clone()
    copy.reshape([1, *images.shape[1:]])
    return ov.Core().compile_model(copy, "CPU", SINGLE).create_infer_request()


@pytest.fixture
def made_on(monkeypatch) -> Any:
    """Return a function that simulates a processor with or without VNNI, and without bfloat16.

    On a machine without VNNI 8 bits saturate, so the conversion's comparisons run in single precision there.
    """

    def make(has: bool) -> None:
        if has and not cpu_has_vnni():
            monkeypatch.setattr(calibration_images_module, "compile_request", request_in_single_precision)
        for module in (reduced_precision, graph_cache):
            monkeypatch.setattr(module, "cpu_has_vnni", lambda: has)
            monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: False)

    return make


@pytest.mark.full
def test_graphs_for_processors_with_and_without_vnni_are_kept_side_by_side(fast, made_on, tmp_path) -> None:
    images = calibration_images(12, 160)
    expected = reference_features(replace(fast, precision="exact"), images)
    graphs: dict[bool, Graph] = {}
    for has in (True, False):
        made_on(has)
        graphs[has] = load_or_convert(fast, str(tmp_path))
        assert graphs[has].needs_vnni is has and load_or_convert(fast, str(tmp_path)) == graphs[has]
        assert cosine_similarities(OpenVinoEngine(graphs[has], fast)(images), expected).min() > 0.99
    assert graphs[True].xml != graphs[False].xml and len(list((tmp_path / "graphs").iterdir())) == 2


@pytest.mark.full
def test_a_worker_without_vnni_simulates_8_bits_in_single_precision(fast, made_on, tmp_path, monkeypatch) -> None:
    made_on(True)
    graph, images = load_or_convert(fast, str(tmp_path)), calibration_images(6, 160)
    found = {}
    for has in (True, False):
        monkeypatch.setattr(openvino_engine, "cpu_has_vnni", lambda has=has: has and cpu_has_vnni())
        found[has] = OpenVinoEngine(graph, fast)(images)
    np.testing.assert_allclose(found[False], run(graph.to_model(), images), atol=1e-5)
    assert not cpu_has_vnni() or np.abs(found[True] - found[False]).max() > 1e-4
    assert cosine_similarities(found[True], found[False]).min() > 0.999
