"""Build networks and run them; each is built once per process."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.models.backbones.backbone import Backbone
from pipelines.models.backbones.catalog import architecture
from pipelines.models.backbones.states import load_into, read_state

_KEPT = 2  # networks a process keeps
_networks: dict[tuple[str, str, str], nn.Module] = {}


@torch.inference_mode()
def forward(backbone: Backbone, pixels: np.ndarray[Any, Any], device: str) -> np.ndarray[Any, Any]:
    """Give features, float32 of shape (n, d), of uint8 pixels of shape (n, side, side, 3).

    They are normalised on the device: a quarter of the bytes travel.
    """
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()  # channels last, as decoded
    numbers = backbone.preprocessing
    mean = torch.tensor(numbers.mean, device=device).view(1, 3, 1, 1) * 255
    std = torch.tensor(numbers.std, device=device).view(1, 3, 1, 1) * 255
    result = network(backbone, device)((images - mean) / std)
    return np.asarray(result.float().cpu().numpy(), dtype=np.float32)


def network(backbone: Backbone, device: str) -> nn.Module:
    """Give the cut network in evaluation mode, the one built before if there is one."""
    key = (backbone.name, backbone.weights_digest, device)
    if key not in _networks:
        while len(_networks) >= _KEPT:
            _networks.pop(next(iter(_networks)), None)
        cut = architecture(backbone.name).cut(load(backbone.name, backbone.weights, backbone.name))
        _networks[key] = cut.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _networks[key]


def load(name: str, weights: bytes, file: str) -> nn.Module:
    """Give the network with its weights but for the classifier's; raise WeightsError, naming the file."""
    known = architecture(name)
    built = known.build()
    load_into(built, read_state(weights, file), file, head=known.head)
    return built


def full_network(name: str, weights: bytes) -> nn.Module:
    """Give the whole network with its classifier, in evaluation mode."""
    network = architecture(name).build()
    load_into(network, read_state(weights, name), name)
    return network.eval()
