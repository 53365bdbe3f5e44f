"""FakeQuantize nodes for a convolution's inputs, which tell OpenVINO to compute it in 8 bits.

Method: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018: weights per output
channel, activations per tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset13 as ops

# Levels on either side of zero: weights of a network that was trained in 8 bits keep their values.
WEIGHT_LEVELS = 127
# Processors without VNNI add pairs of products in 16 bits, which overflow if weights and activations both use all 8
# bits. There the calibrated range uses 7 bits.
_LEVELS_WITHOUT_VNNI, _LEVELS = 127, 255
_HEADROOM, _SIGNED_HEADROOM = 2, 1.15  # factors on the calibrated range


@dataclass
class ActivationRange:
    """The lowest and the highest value of an activation, each averaged over the calibration images."""

    low: float = 0.0
    high: float = 0.0


def fake_quantize_activation(source: Any, calibrated: ActivationRange, *, all_bits: bool) -> Any:
    """Round an activation to 8 bits; zero stays exactly zero.

    Unbounded values may reach twice the calibrated range (as those of enlarged images do). Clamped values stay within
    their limit. For values of either sign, which no activation function has bounded, the few outliers matter less than
    the many values near zero. `all_bits` requires VNNI.
    """
    low, high = min(0.0, calibrated.low), max(calibrated.high, 1e-6)
    steps = _LEVELS if all_bits else _LEVELS_WITHOUT_VNNI
    if all_bits:
        headroom = _SIGNED_HEADROOM if low else _HEADROOM
        low, high = headroom * low, headroom * high
        if source.get_node().get_type_name() == "Clamp":
            high = min(high, float(source.get_node().get_attributes()["max"]))
    zero = min(max(round(-low / (high - low) * steps), 1), steps - 1) if low < 0 else 0
    step = max(-low / zero if zero else 0.0, high / (steps - zero))
    bounds = [np.float32(-step * zero), np.float32(step * (255 - zero))]
    return ops.fake_quantize(source, *bounds, *bounds, 256)


def fake_quantize_weights(kernels: Any, channel_axes: int) -> Any:
    """Round the weights with one step size per output channel; the first `channel_axes` axes index the channels."""
    limit = np.abs(kernels).max(tuple(range(channel_axes, kernels.ndim)), keepdims=True)
    limit = np.maximum(limit, np.float32(1e-12))
    return ops.fake_quantize(ops.constant(kernels), -limit, limit, -limit, limit, 2 * WEIGHT_LEVELS + 1)
