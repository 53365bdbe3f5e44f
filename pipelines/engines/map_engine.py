"""The protocol of engines that also return the maps before pooling, and their check."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from pipelines.backbones.backbone import Backbone, Features, Pixels
from pipelines.backbones.registry import Pooling, get_architecture
from pipelines.errors import ModelError, PlatformError
from pipelines.explanation.contributions import LayerNorm, pool

MIN_COSINE = 0.999  # between the network's features and those pooled from its maps

NO_MAPS = {
    "vit_b_16": "its features are a token that attends to all patches, not a mean of maps",
    "raw_pixels": "its features are the pixels themselves",
}


class MappedFeatures(NamedTuple):
    """Features of shape (n, d), and the maps that they are pooled from: for each layer, shape (n, c, h, w)."""

    features: Features
    layers: tuple[np.ndarray[Any, np.dtype[np.float32]], ...]


class MapEngine(Protocol):
    """An engine that returns features and maps in one forward pass. `norm` is the LayerNorm after pooling, if any.

    Attributes as of `Engine`, but `compute_maps` takes one call at a time.
    """

    batch: int
    max_concurrent_calls: int
    norm: LayerNorm | None

    def compute_maps(self, pixels: Pixels) -> MappedFeatures:
        """Return features and maps of uint8 pixels of shape (n, side, side, 3), in their order."""
        ...


def has_maps(backbone: Backbone) -> bool:
    """Return whether a backbone's features are pooled from maps."""
    return get_architecture(backbone.name).pooling is not None


def require_maps(backbone: Backbone) -> Pooling:
    """Return how a backbone pools its maps. Raises ModelError, which says why, if it has none."""
    pooling = get_architecture(backbone.name).pooling
    if pooling is None:
        reason = NO_MAPS.get(backbone.name, "its features are not pooled from maps")
        raise ModelError(f"{backbone.name} cannot be explained: {reason}. Choose a model of another backbone.")
    return pooling


def require_consistent(found: MappedFeatures, backbone: Backbone, norm: LayerNorm | None) -> None:
    """Raise PlatformError if pooling the maps does not give the features: then they are of other layers."""
    pooled = pool(found.layers, require_maps(backbone), norm)
    cosine = 0.0
    if pooled.shape == found.features.shape:
        lengths = np.linalg.norm(pooled, axis=1) * np.linalg.norm(found.features, axis=1)
        cosine = float(((pooled * found.features).sum(axis=1) / np.maximum(lengths, 1e-30)).min())
    if not cosine >= MIN_COSINE:
        raise PlatformError(
            f"The maps of {backbone.name} do not give its features (shapes {pooled.shape} and "
            f"{found.features.shape}, cosine {cosine:.4f}). Set featurize.engine to torch, and report this."
        )
