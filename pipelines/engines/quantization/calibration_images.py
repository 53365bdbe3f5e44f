"""Measure how far a modified graph is from the original, by the features of synthetic images.

The images are the same everywhere, so that the same backbone yields the same graph.
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
    """Render synthetic images, uint8 (count, side, side, 3), alternately sharp and blurred."""
    images = scenes.render(count, side)
    for i in range(count):
        reduced = _SHARPNESS[i % len(_SHARPNESS)]
        if reduced:
            small = Image.fromarray(images[i]).resize((reduced, reduced))
            images[i] = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))
    return images


def convolutions(model: Any) -> list[Any]:
    """Return the convolutions with constant weights, in the order of the graph."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    return [node for node in nodes if node.input_value(1).get_node().get_type_name() == "Constant"]


def count_macs(model: Any, side: int) -> dict[str, float]:
    """Count the multiply-accumulate operations of each convolution for one image, by the name of its node."""
    copy = model.clone()
    copy.reshape([1, side, side, 3])
    macs = {}
    for node in copy.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS:
            filter_axes = 2 if node.get_type_name() == "GroupConvolution" else 1
            per_output = np.prod(node.get_input_shape(1)[filter_axes:])
            macs[node.get_friendly_name()] = float(per_output * np.prod(node.get_output_shape(0)))
    return macs


def compile_request(model: Any, images: Pixels, precision: str = "f32") -> Any:
    """Compile a copy of the model for one image at a time, and return an inference request."""
    copy = model.clone()
    copy.reshape([1, *images.shape[1:]])
    return ov.Core().compile_model(copy, "CPU", {"INFERENCE_PRECISION_HINT": precision}).create_infer_request()


def compute_features(model: Any, images: Pixels, precision: str = "f32") -> Features:
    """Return the graph's features of the images, float32 (count, d)."""
    request = compile_request(model, images, precision)
    return np.concatenate([request.infer({0: image[None]}, share_inputs=True)[0].copy() for image in images])


def cosine_similarities(actual: Features, expected: Features) -> Features:
    """Return the cosine similarity of each row of `actual` with the same row of `expected`."""
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    return (actual * expected).sum(1) / np.maximum(norms, np.float32(1e-12))
