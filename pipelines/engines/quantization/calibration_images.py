"""How far a changed graph is from the network it came from: images made of formulas, and their features.

The same everywhere, so that the same backbone gives the same graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from PIL import Image

from pipelines.backbones.backbone import Features, Pixels
from pipelines.synthetic import scenes

_SHARPNESS = (32, 64, 112, None)  # sides that the images are first reduced to: surveys have blurred ones too
_CONVOLUTIONS = ("Convolution", "GroupConvolution")


def calibration_images(count: int, side: int) -> Pixels:
    """Give images of formulas, uint8 (count, side, side, 3), sharp and blurred in turn."""
    drawn = scenes.render(count, side)
    for place in range(count):
        reduced = _SHARPNESS[place % len(_SHARPNESS)]
        if reduced:
            small = Image.fromarray(drawn[place]).resize((reduced, reduced))
            drawn[place] = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))
    return drawn


def convolutions(model: Any) -> list[Any]:
    """Give the convolutions with fixed weights, in the order of the graph."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    return [node for node in nodes if node.input_value(1).get_node().get_type_name() == "Constant"]


def count_macs(model: Any, side: int) -> dict[str, float]:
    """Count those of each convolution, for one image."""
    copy = model.clone()
    copy.reshape([1, side, side, 3])
    found = {}
    for node in copy.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS:
            of_filters = 2 if node.get_type_name() == "GroupConvolution" else 1  # axes that number them
            each = np.prod(node.get_input_shape(1)[of_filters:])
            found[node.get_friendly_name()] = float(each * np.prod(node.get_output_shape(0)))
    return found


def compile_request(model: Any, images: Pixels, precision: str = "f32") -> Any:
    """Compile a copy for one image at a time."""
    copy = model.clone()
    copy.reshape([1, *images.shape[1:]])
    return ov.Core().compile_model(copy, "CPU", {"INFERENCE_PRECISION_HINT": precision}).create_infer_request()


def compute_features(model: Any, images: Pixels, precision: str = "f32") -> Features:
    """Give what the graph makes of the images, float32 (count, d)."""
    asked = compile_request(model, images, precision)
    return np.concatenate([asked.infer({0: each[None]}, share_inputs=True)[0].copy() for each in images])


def cosine_similarities(found: Features, expected: Features) -> Features:
    """Give the cosine of every pair of rows."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(1) / np.maximum(lengths, np.float32(1e-12))
