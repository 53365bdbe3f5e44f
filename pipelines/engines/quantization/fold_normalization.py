"""Let the first convolution of a graph take pixels as they are, 8 bits, and what normalises them go into its weights.

(x / 255 - mean) / std is linear, as the convolution is: its weights are divided by 255 std, and the mean colour, in
whole steps, is zero to it, for its padding too. So its input is exact, and two passes over the pixels are saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset1
from openvino import opset13 as ops

from pipelines.engines.quantization.fake_quantize import fake_quantize_weights
from pipelines.images.preprocess import Preprocessing

_NORMALISING = ("Parameter", "Convert", "Reshape", "Multiply", "Add", "Transpose")


def fold_normalization(model: Any, preprocessing: Preprocessing) -> None:
    """Change a graph of pixels (n, side, side, 3) in place, if it begins with one convolution of them; needs VNNI."""
    convolution, bias = _beginning(model)
    if convolution is None:
        return
    mean, std = (np.reshape(each, (1, 3, 1, 1)) for each in (preprocessing.mean, preprocessing.std))
    kernels = np.array(convolution.input_value(1).get_node().data, np.float64) / (255 * std)
    zero = np.round(255 * mean)
    rest = (kernels * (255 * mean - zero)).sum((1, 2, 3)).reshape(1, -1, 1, 1)
    pixels = ops.transpose(ops.convert(model.inputs[0], "f32"), np.array([0, 3, 1, 2]))
    steps = ops.fake_quantize(pixels, *np.array([0, 255, 0, 255], np.float32), 256)
    given = convolution.get_attributes()
    window = (given["strides"], given["pads_begin"], given["pads_end"], given["dilations"])
    weights = fake_quantize_weights(kernels.astype(np.float32), per=1)
    changed = opset1.convolution(ops.subtract(steps, ops.constant(zero.astype(np.float32))), weights, *window)
    offset = np.array(bias.input_value(1).get_node().data, np.float64) - rest
    bias.input(0).replace_source_output(changed.output(0))
    bias.input(1).replace_source_output(ops.constant(offset.astype(np.float32)).output(0))
    model.validate_nodes_and_infer_types()


def _beginning(model: Any) -> tuple[Any, Any]:
    """Give the convolution that alone sees the normalised pixels, and what adds its bias; (None, None) without."""
    node = model.inputs[0].get_node()
    while node.get_type_name() in _NORMALISING:
        takers = list(node.output(0).get_target_inputs())
        if len(takers) != 1:
            return None, None
        node = takers[0].get_node()
    takers = list(node.output(0).get_target_inputs())
    if node.get_type_name() != "Convolution" or len(takers) != 1:
        return None, None
    bias = takers[0].get_node()
    is_constant = bias.get_type_name() == "Add" and bias.input_value(1).get_node().get_type_name() == "Constant"
    return (node, bias) if is_constant else (None, None)
