"""Build the networks in torch and compute the reference features; each network is built once per process."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from pipelines.backbones.registry import get_architecture
from pipelines.backbones.state_dict import load_weights, read_state_dict
from pipelines.images.preprocess import Preprocessing

_MAX_CACHED = 2  # networks per process
_networks: dict[tuple[str, str, str], nn.Module] = {}


class ModelSource(Protocol):
    """The attributes of a Backbone from which its network is built (that module imports this one)."""

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> bytes: ...
    @property
    def weights_digest(self) -> str: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def file(self) -> str: ...
    @property
    def allowed_sha256(self) -> Collection[str]: ...


@torch.inference_mode()
def reference_features(backbone: ModelSource, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the reference features, float32 of shape (n, d), of uint8 pixels of shape (n, side, side, 3).

    Computed in single precision on the CPU; every engine is compared with them.
    """
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()  # channels last, as decoded
    mean, std = get_mean_std(backbone.preprocessing, "cpu")
    result = get_model(backbone, "cpu")((images - mean) / std)
    return np.asarray(result.float().numpy(), dtype=np.float32)


def get_mean_std(preprocessing: Preprocessing, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation for pixels of 0..255, each of shape (1, 3, 1, 1)."""
    mean, std = torch.tensor(preprocessing.mean, device=device), torch.tensor(preprocessing.std, device=device)
    return mean.view(1, 3, 1, 1) * 255, std.view(1, 3, 1, 1) * 255


def get_model(backbone: ModelSource, device: str) -> nn.Module:
    """Return the network without its classifier, in evaluation mode; cached per process."""
    key = (backbone.name, backbone.weights_digest, device)
    if key not in _networks:
        while len(_networks) >= _MAX_CACHED:
            _networks.pop(next(iter(_networks)), None)
        network = get_architecture(backbone.name).remove_head(load_model(backbone)).eval()
        _networks[key] = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _networks[key]


def load_model(backbone: ModelSource) -> nn.Module:
    """Return the network with its weights, except the classifier's. Raises WeightsError, which names the file."""
    architecture, file = get_architecture(backbone.name), backbone.file or backbone.name
    network = architecture.build()
    if architecture.has_weights:
        state = read_state_dict(backbone.weights, file, backbone.allowed_sha256)
        load_weights(network, state, file, head=architecture.head_prefix)
    return network
