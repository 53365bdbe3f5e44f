"""Let a graph compute its convolutions in 8 bits: static quantization after training.

NNCF does this with more choices, but wants a newer NumPy than Databricks 15.4 has. Ranges come from images made of
formulas, so that the same backbone gives the same graph on all processors of a kind, and other such images say which
convolutions lose too much and stay in single precision: some of the first, whose values spread widest.
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

IMAGES, HELD_OUT = 160, 40
_TRIED_ON = 8  # images, for each convolution alone
_FIRST = 12  # convolutions among which those that lose most for their work are looked for
_KEPT = (1, 2, 3, 4, 6, 8, _FIRST)  # of them in single precision, tried in this order
_NEAREST = 0.99  # least cosine of any held-out image


def quantize(model: Any, preprocessing: Preprocessing, *, all_bits: bool) -> Any:
    """Give the graph with steps to 8 bits in front of its convolutions; the same one where none can be spared.

    `all_bits`: for processors with VNNI alone.
    """
    images = calibration_images(IMAGES + HELD_OUT, preprocessing.size)
    known, unseen = images[:IMAGES], images[IMAGES:]
    expected, begun = compute_features(model, unseen), model.clone()
    if all_bits:
        fold_normalization(begun, preprocessing)
    ranges = _calibrate(begun, known)
    for kept in _choices(begun, ranges, unseen[:_TRIED_ON], expected[:_TRIED_ON], all_bits):
        rounded = _rounded(begun, ranges, kept, all_bits)
        if cosine_similarities(compute_features(rounded, unseen), expected).min() >= _NEAREST:
            return rounded
    return model


def _calibrate(model: Any, images: Pixels) -> dict[str, ActivationRange]:
    """Run the images one by one and look at the input of every convolution."""
    sources = {_key(node): node.input_value(0) for node in convolutions(model)}
    asked = compile_request(ov.Model([ops.result(each) for each in sources.values()], model.get_parameters()), images)
    ranges = {name: ActivationRange() for name in sources}
    for image in images:
        asked.infer({0: image[None]}, share_inputs=True)
        for place, each in enumerate(ranges.values()):
            values = asked.get_output_tensor(place).data
            each.low += float(values.min()) / len(images)
            each.high += float(values.max()) / len(images)
    return ranges


def _choices(
    model: Any, ranges: dict[str, ActivationRange], images: Pixels, expected: Features, all_bits: bool
) -> Iterator[Set[str]]:
    """Give which convolutions to keep in single precision: none, then those that lose most for their work."""
    yield set()
    every = [node.get_friendly_name() for node in convolutions(model)]
    work = count_macs(model, images.shape[1])

    def loss(name: str) -> float:
        alone = _rounded(model, ranges, set(every) - {name}, all_bits)
        return float(1 - cosine_similarities(compute_features(alone, images), expected).mean())

    dearest = sorted(every[:_FIRST], key=lambda name: loss(name) / work[name], reverse=True)
    for count in _KEPT:
        yield set(dearest[:count])
    yield set(every[: 2 * _FIRST])


def _rounded(model: Any, ranges: dict[str, ActivationRange], kept: Set[str], all_bits: bool) -> Any:
    """Give a copy with the steps in front of all convolutions but those kept."""
    copy = model.clone()
    nodes = [node for node in convolutions(copy) if node.get_friendly_name() not in kept]
    by_source: dict[str, list[Any]] = {}
    for node in nodes:
        by_source.setdefault(_key(node), []).append(node)
    for name, takers in by_source.items():
        source = takers[0].input_value(0)
        are_all = len(source.get_target_inputs()) == len(takers)
        for origin in _origins(source) if are_all else [source]:
            inputs = list(origin.get_target_inputs()) if are_all else [each.input(0) for each in takers]
            step = fake_quantize_activation(origin, ranges[name], all_bits=all_bits)
            for each in inputs:
                each.replace_source_output(step.output(0))
    for node in nodes:
        per = 2 if node.get_type_name() == "GroupConvolution" else 1
        node.input(1).replace_source_output(fake_quantize_weights(node.input_value(1).get_node().data, per).output(0))
    copy.validate_nodes_and_infer_types()
    return copy


def _origins(source: Any) -> list[Any]:
    """Give where a step may stand instead of behind a value: before what only chooses values or lays them together.

    There what makes the values rounds them as it writes them, and a quarter of the bytes is chosen from.
    """
    node = source.get_node()
    if node.get_type_name() not in ("MaxPool", "Concat"):
        return [source]
    inputs = [node.input_value(place) for place in range(node.get_input_size())]
    if any(len(each.get_target_inputs()) > 1 for each in inputs):  # others want them as they are
        return [source]
    return [origin for each in inputs for origin in _origins(each)]


def _key(node: Any) -> str:
    """Name what a convolution takes; copies of a model keep the names of their nodes."""
    source = node.input_value(0)
    return f"{source.get_node().get_friendly_name()}:{source.get_index()}"
