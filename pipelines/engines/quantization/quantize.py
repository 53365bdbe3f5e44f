"""Static post-training quantization: run a graph's convolutions in 8 bits.

NNCF does this with more options, but requires a newer NumPy than Databricks 15.4 has. Ranges are calibrated on
synthetic images, so that the same backbone yields the same graph on all processors of a kind. Held-out synthetic images
show which convolutions lose too much and stay in single precision: some of the first, whose values spread widest.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import openvino as ov
from openvino import opset13 as ops

from pipelines.backbones.backbone import Features, Pixels
from pipelines.engines.quantization.calibration_images import (
    calibration_images,
    compile_request,
    compute_features,
    convolutions,
    cosine_similarities,
    count_macs,
)
from pipelines.engines.quantization.fake_quantize import (
    ActivationRange,
    fake_quantize_activation,
    fake_quantize_weights,
)
from pipelines.engines.quantization.fold_normalization import fold_normalization
from pipelines.images.preprocess import Preprocessing

CALIBRATION_IMAGES, HELD_OUT_IMAGES = 160, 40
_SEARCH_IMAGES = 8  # to try each convolution alone
_CANDIDATES = 12  # first convolutions, searched for those with the largest loss per work
_SINGLE_PRECISION_COUNTS = (1, 2, 3, 4, 6, 8, _CANDIDATES)  # how many of them to keep, tried in this order
_MIN_COSINE = 0.99  # of every held-out image


def quantize(model: Any, preprocessing: Preprocessing, *, all_bits: bool) -> Any:
    """Return the graph with its convolutions in 8 bits, or the same graph if the loss is too large.

    `all_bits` requires VNNI.
    """
    images = calibration_images(CALIBRATION_IMAGES + HELD_OUT_IMAGES, preprocessing.size)
    held_out = images[CALIBRATION_IMAGES:]
    expected, base = compute_features(model, held_out), model.clone()
    if all_bits:
        fold_normalization(base, preprocessing)
    ranges = _calibrate(base, images[:CALIBRATION_IMAGES])
    search = held_out[:_SEARCH_IMAGES], expected[:_SEARCH_IMAGES]
    for kept in _propose_single_precision(base, ranges, *search, all_bits):
        quantized = _insert_fake_quantize(base, ranges, kept, all_bits)
        if cosine_similarities(compute_features(quantized, held_out), expected).min() >= _MIN_COSINE:
            return quantized
    return model


def _calibrate(model: Any, images: Pixels) -> dict[str, ActivationRange]:
    """Run the images one by one and return the range of every convolution's input, by the key of its source."""
    sources = {_source_key(node): node.input_value(0) for node in convolutions(model)}
    outputs = [ops.result(source) for source in sources.values()]
    request = compile_request(ov.Model(outputs, model.get_parameters()), images)
    ranges = {key: ActivationRange() for key in sources}
    for image in images:
        request.infer({0: image[None]}, share_inputs=True)
        for i, activation in enumerate(ranges.values()):
            values = request.get_output_tensor(i).data
            activation.low += float(values.min()) / len(images)
            activation.high += float(values.max()) / len(images)
    return ranges


def _propose_single_precision(
    model: Any, ranges: dict[str, ActivationRange], images: Pixels, expected: Features, all_bits: bool
) -> Iterator[Set[str]]:
    """Yield sets of convolutions to keep in single precision: none, then those with the largest loss per work."""
    yield set()
    names = [node.get_friendly_name() for node in convolutions(model)]
    work = count_macs(model, images.shape[1])

    def measure_loss(name: str) -> float:
        quantized = _insert_fake_quantize(model, ranges, set(names) - {name}, all_bits)
        return float(1 - cosine_similarities(compute_features(quantized, images), expected).mean())

    by_loss = sorted(names[:_CANDIDATES], key=lambda name: measure_loss(name) / work[name], reverse=True)
    for count in _SINGLE_PRECISION_COUNTS:
        yield set(by_loss[:count])
    yield set(names[: 2 * _CANDIDATES])


def _insert_fake_quantize(model: Any, ranges: dict[str, ActivationRange], kept: Set[str], all_bits: bool) -> Any:
    """Return a copy with FakeQuantize nodes in front of all convolutions except those in `kept`."""
    copy = model.clone()
    nodes = [node for node in convolutions(copy) if node.get_friendly_name() not in kept]
    by_source: dict[str, list[Any]] = {}
    for node in nodes:
        by_source.setdefault(_source_key(node), []).append(node)
    for key, consumers in by_source.items():
        source = consumers[0].input_value(0)
        are_all = len(source.get_target_inputs()) == len(consumers)
        for origin in _find_origins(source) if are_all else [source]:
            inputs = list(origin.get_target_inputs()) if are_all else [node.input(0) for node in consumers]
            quantized = fake_quantize_activation(origin, ranges[key], all_bits=all_bits)
            for target in inputs:
                target.replace_source_output(quantized.output(0))
    for node in nodes:
        channel_axes = 2 if node.get_type_name() == "GroupConvolution" else 1
        weights = fake_quantize_weights(node.input_value(1).get_node().data, channel_axes)
        node.input(1).replace_source_output(weights.output(0))
    copy.validate_nodes_and_infer_types()
    return copy


def _find_origins(source: Any) -> list[Any]:
    """Return the values to quantize in place of `source`: those before poolings and concatenations.

    There the producing layer rounds its values as it writes them, and the pooling reads a quarter of the bytes.
    """
    node = source.get_node()
    if node.get_type_name() not in ("MaxPool", "Concat"):
        return [source]
    inputs = [node.input_value(i) for i in range(node.get_input_size())]
    if any(len(value.get_target_inputs()) > 1 for value in inputs):  # others need the exact values
        return [source]
    return [origin for value in inputs for origin in _find_origins(value)]


def _source_key(node: Any) -> str:
    """Return a key for a convolution's input; copies of a model keep the names of their nodes."""
    source = node.input_value(0)
    return f"{source.get_node().get_friendly_name()}:{source.get_index()}"
