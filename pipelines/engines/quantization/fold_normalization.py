"""Fold the normalisation of pixels into the weights of a graph's first convolution, which then takes 8-bit pixels.

(x / 255 - mean) / std is linear, and so is the convolution: its weights are divided by 255 std, and the mean colour,
rounded to whole steps, becomes its zero point, also for the padding. Its input is then exact, and two passes over the
pixels are saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset1
from openvino import opset13 as ops

from pipelines.engines.quantization.fake_quantize import fake_quantize_weights
from pipelines.images.preprocess import Preprocessing

_NORMALIZATION_NODES = ("Parameter", "Convert", "Reshape", "Multiply", "Add", "Transpose")


def fold_normalization(model: Any, preprocessing: Preprocessing) -> None:
    """Modify a graph with input (n, side, side, 3) in place, if it starts with a single convolution. Needs VNNI."""
    convolution, bias = _find_first_convolution(model)
    if convolution is None:
        return
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
    kernels = np.array(convolution.input_value(1).get_node().data, np.float64) / (255 * std)
    zero = np.round(255 * mean)
    rest = (kernels * (255 * mean - zero)).sum((1, 2, 3)).reshape(1, -1, 1, 1)
    pixels = ops.transpose(ops.convert(model.inputs[0], "f32"), np.array([0, 3, 1, 2]))
    steps = ops.fake_quantize(pixels, *np.array([0, 255, 0, 255], np.float32), 256)
    attributes = convolution.get_attributes()
    window = (attributes["strides"], attributes["pads_begin"], attributes["pads_end"], attributes["dilations"])
    weights = fake_quantize_weights(kernels.astype(np.float32), channel_axes=1)
    folded = opset1.convolution(ops.subtract(steps, ops.constant(zero.astype(np.float32))), weights, *window)
    offset = np.array(bias.input_value(1).get_node().data, np.float64) - rest
    bias.input(0).replace_source_output(folded.output(0))
    bias.input(1).replace_source_output(ops.constant(offset.astype(np.float32)).output(0))
    model.validate_nodes_and_infer_types()


def _find_first_convolution(model: Any) -> tuple[Any, Any]:
    """Return the only convolution of the normalised pixels and the addition of its bias, else (None, None)."""
    node = model.inputs[0].get_node()
    while node.get_type_name() in _NORMALIZATION_NODES:
        consumers = list(node.output(0).get_target_inputs())
        if len(consumers) != 1:
            return None, None
        node = consumers[0].get_node()
    consumers = list(node.output(0).get_target_inputs())
    if node.get_type_name() != "Convolution" or len(consumers) != 1:
        return None, None
    bias = consumers[0].get_node()
    is_constant = bias.get_type_name() == "Add" and bias.input_value(1).get_node().get_type_name() == "Constant"
    return (node, bias) if is_constant else (None, None)
