"""The networks of the comparison, cut where irbis cuts them, and the pixels they take; shared by the torch engines."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.models import get_model

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEADS = {"squeezenet1_1": "classifier", "mobilenet_v2": "classifier", "resnet50": "fc"}


def pretrained(backbone: str, weights: str) -> nn.Module:
    """Give the cut network, ready to infer, with the weights of a safetensors file, or random ones of seed 0."""
    if weights == "random":
        torch.manual_seed(0)
        return cut(backbone, get_model(backbone, weights=None))
    from safetensors.torch import load_file

    network = get_model(backbone, weights=None)
    missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
    wrong = [*(key for key in missing if not key.startswith(f"{HEADS[backbone]}.")), *unexpected]
    assert not wrong, f"{weights} does not fit {backbone}: {wrong[:5]}"
    return cut(backbone, network)


def from_state(backbone: str, state: Mapping[str, Any]) -> nn.Module:
    """Give the cut network with the state that `pretrained(...).state_dict()` gave elsewhere."""
    network = cut(backbone, get_model(backbone, weights=None))
    network.load_state_dict(state)
    return network


def cut(backbone: str, network: nn.Module) -> nn.Module:
    """Take the classifier off, so that the network gives what stands before it, one vector an image."""
    if backbone == "squeezenet1_1":  # its classifier is a convolution over the map, which must be pooled
        return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    setattr(network, HEADS[backbone], nn.Identity())
    return network.eval()


class FromPixels(nn.Module):
    """Take uint8 pixels (N, H, W, 3), normalise them and give features; a compiler sees it as one graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("scale", 1 / (255 * torch.tensor(STD)).view(1, 3, 1, 1))
        self.register_buffer("shift", -(torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # Seen as N, 3, H, W the pixels lie in memory as channels_last wants them: nothing is copied.
        return self.network(pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift)


def pixels_of(content: bytes) -> Image.Image:
    """Decode an image and squash it, with Pillow's bilinear resize, which is antialiased."""
    return Image.open(io.BytesIO(content)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
