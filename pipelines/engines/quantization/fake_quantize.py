"""Steps of 8 bits for what a convolution multiplies, as OpenVINO wants them marked in a graph.

Method: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018: weights per output
channel, activations per tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset13 as ops

# Weights that come from an 8-bit network already keep their values with as many steps to either side.
WEIGHT_LEVELS = 127
# Processors without VNNI add pairs of products in 16 bits, which overflow where weights and activations both use all
# 8. What calibration saw stays within 7 there.
_STEPS_BY_PAIRS, _STEPS = 127, 255
_ROOM, _SIGNED_ROOM = 2, 1.15  # how far beyond what calibration saw


@dataclass
class ActivationRange:
    """Hold the lowest and the highest value of an activation, as means over the images."""

    low: float = 0.0
    high: float = 0.0


def fake_quantize_activation(source: Any, seen: ActivationRange, *, all_bits: bool) -> Any:
    """Round to 8 bits; zero stays exactly zero.

    Values that nothing bounds may come to twice of what calibration saw (images that were enlarged do). Those that
    are clamped come to no more than that, and of those of either sign, which no activation function has cut, the few
    that lie far out matter less than the many near zero. `all_bits`: for processors with VNNI alone.
    """
    low, high = min(0.0, seen.low), max(seen.high, 1e-6)
    steps = _STEPS if all_bits else _STEPS_BY_PAIRS
    if all_bits:
        room = _SIGNED_ROOM if low else _ROOM
        low, high = room * low, room * high
        if source.get_node().get_type_name() == "Clamp":
            high = min(high, float(source.get_node().get_attributes()["max"]))
    zero = min(max(round(-low / (high - low) * steps), 1), steps - 1) if low < 0 else 0
    step = max(-low / zero if zero else 0.0, high / (steps - zero))
    bounds = [np.float32(-step * zero), np.float32(step * (255 - zero))]
    return ops.fake_quantize(source, *bounds, *bounds, 256)


def fake_quantize_weights(kernels: Any, per: int) -> Any:
    """Round the weights with a step for each output channel, which the first `per` axes number."""
    most = np.abs(kernels).max(tuple(range(per, kernels.ndim)), keepdims=True)
    most = np.maximum(most, np.float32(1e-12))
    return ops.fake_quantize(ops.constant(kernels), -most, most, -most, most, 2 * WEIGHT_LEVELS + 1)
