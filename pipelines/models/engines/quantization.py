"""Let a graph compute its convolutions in 8 bits: static quantization after training.

Method: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018: weights per output
channel, activations per tensor. NNCF does this with more choices, but wants a newer NumPy than Databricks 15.4 has.
Ranges come from pictures made of formulas, so that the same backbone gives the same graph everywhere, and other such
pictures say how many of the first layers, which lose most, stay in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from pipelines.models.backbones.backbone import Pixels
from pipelines.models.engines.calibration import calibration_pictures, convolutions, cosines, features, request

PICTURES, HELD_OUT = 160, 40
_KEPT = (0, 3, 6, 12, 24)  # first convolutions left as they are, tried in this order
_NEAREST = 0.99  # least cosine of any held-out picture
# Processors without VNNI add pairs of products in 16 bits, which overflow where weights and activations both use all
# 8. Activations stay within 7, so that features do not depend on the processor; weights that come from an 8-bit
# network already keep their values.
_STEPS, _WEIGHT_STEPS = 127, 127


@dataclass
class _Range:
    """Hold the lowest and the highest value of an activation, as means over the pictures."""

    low: float = 0.0
    high: float = 0.0


def quantize(model: Any, side: int) -> Any:
    """Give the graph with steps to 8 bits in front of its convolutions; the same one where none can be spared."""
    pictures = calibration_pictures(PICTURES + HELD_OUT, side)
    known, unseen = pictures[:PICTURES], pictures[PICTURES:]
    ranges, expected = _calibrate(model, known), features(model, unseen)
    for kept in _KEPT:
        rounded = model.clone()
        _round(rounded, ranges, kept)
        if cosines(features(rounded, unseen), expected).min() >= _NEAREST:
            return rounded
    return model


def _calibrate(model: Any, pictures: Pixels) -> dict[str, _Range]:
    """Run the pictures one by one and look at the input of every convolution."""
    sources = {_key(node): node.input_value(0) for node in convolutions(model)}
    asked = request(ov.Model([ops.result(each) for each in sources.values()], model.get_parameters()), pictures)
    ranges = {name: _Range() for name in sources}
    for picture in pictures:
        asked.infer({0: picture[None]}, share_inputs=True)
        for place, each in enumerate(ranges.values()):
            values = asked.get_output_tensor(place).data
            each.low += float(values.min()) / len(pictures)
            each.high += float(values.max()) / len(pictures)
    return ranges


def _round(model: Any, ranges: dict[str, _Range], kept: int) -> None:
    """Put the steps in front of all convolutions but the first ones, in place."""
    steps: dict[str, Any] = {}
    for node in convolutions(model)[kept:]:
        name = _key(node)
        if name not in steps:
            steps[name] = _activation_step(node.input_value(0), ranges[name]).output(0)
        weights = _weight_step(node, per=2 if node.get_type_name() == "GroupConvolution" else 1)
        node.input(0).replace_source_output(steps[name])
        node.input(1).replace_source_output(weights.output(0))
    model.validate_nodes_and_infer_types()


def _activation_step(source: Any, seen: _Range) -> Any:
    """Round to 8 bits whose upper half is only for what calibration did not see; zero stays exactly zero."""
    low, high = min(0.0, seen.low), max(seen.high, 1e-6)
    zero = min(max(round(-low / (high - low) * _STEPS), 1), _STEPS - 1) if low < 0 else 0
    step = max(-low / zero if zero else 0.0, high / (_STEPS - zero))
    bounds = [np.float32(-step * zero), np.float32(step * (255 - zero))]
    return ops.fake_quantize(source, *bounds, *bounds, 256)


def _weight_step(node: Any, per: int) -> Any:
    """Round the weights with a step for each output channel, which the first `per` axes number."""
    kernels = np.array(node.input_value(1).get_node().data, np.float32)
    most = np.abs(kernels).max(tuple(range(per, kernels.ndim)), keepdims=True)
    most = np.maximum(most, np.float32(1e-12))
    return ops.fake_quantize(ops.constant(kernels), -most, most, -most, most, 2 * _WEIGHT_STEPS + 1)


def _key(node: Any) -> str:
    """Name what a convolution takes; copies of a model keep the names of their nodes."""
    source = node.input_value(0)
    return f"{source.get_node().get_friendly_name()}:{source.get_index()}"
