"""Let a graph compute its convolutions in 8 bits: static quantization after training.

Method: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018 (weights per output
channel, activations per tensor) with the bias correction of Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", 2019. NNCF does this with more choices, but wants a newer NumPy than Databricks
15.4 has. The ranges come from pictures made of formulas: the same backbone gives the same graph everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino._offline_transformations import apply_moc_transformations

from pipelines.images import formulas
from pipelines.models.backbones import Backbone

PICTURES = 200
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# Processors without VNNI add pairs of products in 16 bits, which overflow where weights and activations both use all
# 8. Activations stay within 7, so that features do not depend on the processor; weights that come from an 8-bit
# network already keep their values.
_STEPS, _WEIGHT_STEPS = 127, 127

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass
class _Seen:
    """Hold what calibration saw of one activation: its extremes (means over pictures) and its channels' means."""

    low: float = 0.0
    high: float = 0.0
    channels: Any = 0.0


def quantize(model: Any, backbone: Backbone) -> None:
    """Let convolutions compute in 8 bits, in place; what rounding the weights moves on average is added back."""
    apply_moc_transformations(model, cf=False)  # folds batch normalisation into the weights
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    seen = _calibrate(model, convolutions, formulas.render(PICTURES, backbone.preprocessing.size))
    steps: dict[Any, Any] = {}
    for node in convolutions:
        source = node.input_value(0)
        name = _key(source)
        if name not in steps:
            steps[name] = _activation_step(source, seen[name]).output(0)
        kernels = _constant(node)
        if kernels is None:
            continue
        step, rounded = _weight_step(kernels, per=2 if node.get_type_name() == "GroupConvolution" else 1)
        node.input(0).replace_source_output(steps[name])
        node.input(1).replace_source_output(step.output(0))
        _correct_bias(node, kernels - rounded, seen[name].channels)
    model.validate_nodes_and_infer_types()


def _calibrate(model: Any, convolutions: list[Any], pictures: np.ndarray[Any, Any]) -> dict[Any, _Seen]:
    """Run the pictures one by one and look at the input of every convolution."""
    sources = {_key(node.input_value(0)): node.input_value(0) for node in convolutions}
    probe = ov.Model([*model.get_results(), *(ops.result(each) for each in sources.values())], model.get_parameters())
    shape = model.input(0).get_partial_shape()
    probe.reshape([1, *pictures.shape[1:]])
    request = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    seen = {name: _Seen() for name in sources}
    first = len(model.get_results())
    for picture in pictures:
        request.infer({0: picture[None]}, share_inputs=True)
        for place, each in enumerate(seen.values(), first):
            values = request.get_output_tensor(place).data
            each.low += float(values.min()) / len(pictures)
            each.high += float(values.max()) / len(pictures)
            each.channels = each.channels + values.mean((0, 2, 3), dtype=np.float64) / len(pictures)
    model.reshape(shape)
    return seen


def _activation_step(source: Any, seen: _Seen) -> Any:
    """Round to 8 bits whose upper half is only for what calibration did not see; zero stays exactly zero."""
    low, high = min(0.0, seen.low), max(seen.high, 1e-6)
    zero = min(max(round(-low / (high - low) * _STEPS), 1), _STEPS - 1) if low < 0 else 0
    step = max(-low / zero if zero else 0.0, high / (_STEPS - zero))
    bounds = [np.float32(-step * zero), np.float32(step * (255 - zero))]
    return ops.fake_quantize(source, *bounds, *bounds, 256)


def _weight_step(kernels: Floats, per: int) -> tuple[Any, Floats]:
    """Round the weights with a step for each output channel (the first `per` axes); give the values they get, too."""
    axes = tuple(range(per, kernels.ndim))
    most = np.maximum(np.abs(kernels).max(axes, keepdims=True), 1e-12).astype(np.float32)
    rounded = np.round(kernels / most * _WEIGHT_STEPS) / _WEIGHT_STEPS * most
    return ops.fake_quantize(ops.constant(kernels), -most, most, -most, most, 2 * _WEIGHT_STEPS + 1), rounded


def _correct_bias(node: Any, lost: Floats, channels: Floats) -> None:
    """Add back what the rounding of the weights takes from the mean of every output channel."""
    per_input = lost.sum((-2, -1), dtype=np.float64)
    if node.get_type_name() == "GroupConvolution":
        groups = channels.reshape(per_input.shape[0], 1, -1)
        shift = (per_input * groups).sum(-1).reshape(-1)
    else:
        shift = per_input @ channels
    output = node.output(0)
    users = list(output.get_target_inputs())
    added = ops.add(output, ops.constant(shift.astype(np.float32).reshape(1, -1, 1, 1)))
    for user in users:
        user.replace_source_output(added.output(0))


def _constant(node: Any) -> Floats | None:
    """Give a convolution's weights, or None where they are computed."""
    source = node.input_value(1).get_node()
    return np.array(source.data, np.float32) if source.get_type_name() == "Constant" else None


def _key(output: Any) -> tuple[str, int]:
    return output.get_node().get_name(), output.get_index()
