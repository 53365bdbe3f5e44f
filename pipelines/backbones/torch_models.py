"""Build networks and run them; each is built once per process."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.state_dict import load_weights, read_state_dict
from pipelines.images.preprocess import Preprocessing

_KEPT = 2  # networks a process keeps
_networks: dict[tuple[str, str, str], nn.Module] = {}


@torch.inference_mode()
def reference_features(backbone: Backbone, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Give features, float32 of shape (n, d), of uint8 pixels of shape (n, side, side, 3): the reference.

    In single precision on the CPU; every engine is compared with this one.
    """
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()  # channels last, as decoded
    mean, std = normalisation(backbone.preprocessing, "cpu")
    result = get_model(backbone, "cpu")((images - mean) / std)
    return np.asarray(result.float().numpy(), dtype=np.float32)


def normalisation(numbers: Preprocessing, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Give mean and standard deviation for pixels of 0..255, each of shape (1, 3, 1, 1)."""
    mean, std = torch.tensor(numbers.mean, device=device), torch.tensor(numbers.std, device=device)
    return mean.view(1, 3, 1, 1) * 255, std.view(1, 3, 1, 1) * 255


def get_model(backbone: Backbone, device: str) -> nn.Module:
    """Give the cut network in evaluation mode, the one built before if there is one."""
    key = (backbone.name, backbone.weights_digest, device)
    if key not in _networks:
        while len(_networks) >= _KEPT:
            _networks.pop(next(iter(_networks)), None)
        cut = get_architecture(backbone.name).remove_head(load_model(backbone))
        _networks[key] = cut.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _networks[key]


def load_model(backbone: Backbone) -> nn.Module:
    """Give the network with its weights but for the classifier's; raise WeightsError, naming the file."""
    known, file = get_architecture(backbone.name), backbone.file or backbone.name
    built = known.build()
    if known.has_weights:
        load_weights(built, read_state_dict(backbone.weights, file, backbone.listed), file, head=known.head_prefix)
    return built


def load_full_model(name: str, weights: bytes) -> nn.Module:
    """Give the whole network with its classifier, in evaluation mode."""
    network = get_architecture(name).build()
    load_weights(network, read_state_dict(weights, name), name)
    return network.eval()
