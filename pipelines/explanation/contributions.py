"""Contribution maps: what each place of an image adds to a logit that is linear in pooled features.

A mean over the image is linear, so a weight on it can be applied before it (class activation maps: Zhou, Khosla,
Lapedriza, Oliva, Torralba, "Learning deep features for discriminative localization", CVPR 2016). The mean of a
contribution map is therefore the contribution to the logit. Standard deviations and LayerNorm are linear once the
image's own statistics are known: then the same holds, but the statistics depend on the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Maps = NDArray[np.float32]
DEVIATION_EPSILON = 1e-5  # of irbis_tiny's standard deviations


class LayerNorm(NamedTuple):
    """The LayerNorm after pooling: scale and shift of each channel, and the epsilon of its variance."""

    scale: Floats
    shift: Floats
    epsilon: float = 1e-6


class Contributions(NamedTuple):
    """Contribution maps of n images, and what is added to the logit of each regardless of place.

    The logit without the classifier's intercept is the sum of the means of all maps, plus `constant`. `maps`: one array
    of shape (n, h, w) for each layer that is pooled.
    """

    maps: tuple[Floats, ...]
    constant: Floats


def contributions(
    weights: Floats, layers: Sequence[Maps], pooling: str, norm: LayerNorm | None = None
) -> Contributions:
    """Return the contributions to logits of n images.

    `weights`: shape (n, d), those of each image's class on the features. `layers`: arrays of shape (n, c, h, w), whose
    pooling gives the features. `pooling`: mean, mean_std or mean_norm, as in `Architecture`. Raises ValueError if the
    weights do not fit.
    """
    channels = sum(layer.shape[1] for layer in layers)
    expected = 2 * channels if pooling == "mean_std" else channels
    if weights.shape[1] != expected:
        raise ValueError(f"{weights.shape[1]} weights do not fit the {expected} features that are pooled from the maps")
    if pooling == "mean_std":
        return _of_mean_and_deviation(weights, layers)
    if pooling == "mean_norm":
        if norm is None:
            raise ValueError("mean_norm needs the parameters of its LayerNorm")
        return _of_normalised_mean(weights, layers[0], norm)
    return Contributions((_weighted_sum(weights, layers[0]),), np.zeros(len(weights)))


def pool(layers: Sequence[Maps], pooling: str, norm: LayerNorm | None = None) -> Floats:
    """Return the features, shape (n, d), that pooling the layers gives, to compare them with the network's own."""
    parts = []
    for layer in layers:
        mean = layer.mean(axis=(2, 3), dtype=np.float64)
        parts.append(mean)
        if pooling == "mean_std":
            parts.append(np.sqrt(layer.var(axis=(2, 3), dtype=np.float64) + DEVIATION_EPSILON))
    features = np.concatenate(parts, axis=1)
    if pooling == "mean_norm" and norm is not None:
        centred = features - features.mean(axis=1, keepdims=True)
        deviation = np.sqrt(features.var(axis=1, keepdims=True) + norm.epsilon)
        features = centred / deviation * norm.scale + norm.shift
    return np.asarray(features)


def _of_mean_and_deviation(weights: Floats, layers: Sequence[Maps]) -> Contributions:
    """A deviation s is the mean of ((f - mean)^2 + epsilon) / s, exactly."""
    maps, start = [], 0
    for layer in layers:
        count = layer.shape[1]
        on_mean, on_deviation = weights[:, start : start + count], weights[:, start + count : start + 2 * count]
        centred = layer - layer.mean(axis=(2, 3), keepdims=True)
        squares = np.square(centred, out=centred)
        deviation = np.sqrt(squares.mean(axis=(2, 3)).astype(np.float64) + DEVIATION_EPSILON)
        scaled = on_deviation / deviation
        epsilon = (DEVIATION_EPSILON * scaled.sum(axis=1))[:, None, None]
        maps.append(_weighted_sum(on_mean, layer) + _weighted_sum(scaled, squares) + epsilon)
        start += 2 * count
    return Contributions(tuple(maps), np.zeros(len(weights)))


def _of_normalised_mean(weights: Floats, layer: Maps, norm: LayerNorm) -> Contributions:
    pooled = layer.mean(axis=(2, 3), dtype=np.float64)
    mean, deviation = pooled.mean(axis=1), np.sqrt(pooled.var(axis=1) + norm.epsilon)
    scaled = weights * norm.scale / deviation[:, None]
    shift = (scaled.sum(axis=1) * mean)[:, None, None]
    return Contributions((_weighted_sum(scaled, layer) - shift,), weights @ norm.shift)


def _weighted_sum(weights: Floats, layer: Maps) -> Floats:
    """Return the sum over channels, shape (n, h, w); in single precision, as the maps are."""
    n, channels, height, width = layer.shape
    summed = weights[:, None, :].astype(np.float32) @ layer.reshape(n, channels, height * width)
    return summed.reshape(n, height, width).astype(np.float64)
