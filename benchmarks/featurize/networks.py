"""The networks without their classifiers, as irbis uses them, and their input pixels; shared by the torch engines."""

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


def load_pretrained(backbone: str, weights: str) -> nn.Module:
    """Return the network without classifier in eval mode; `weights`: a safetensors file, or random (seed 0)."""
    if weights == "random":
        torch.manual_seed(0)
        return remove_classifier(backbone, get_model(backbone, weights=None))
    from safetensors.torch import load_file

    network = get_model(backbone, weights=None)
    missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
    mismatches = [*(key for key in missing if not key.startswith(f"{HEADS[backbone]}.")), *unexpected]
    assert not mismatches, f"{weights} does not fit {backbone}: {mismatches[:5]}"
    return remove_classifier(backbone, network)


def load_state(backbone: str, state: Mapping[str, Any]) -> nn.Module:
    """Return the network without classifier, with the state of `load_pretrained(...).state_dict()`."""
    network = remove_classifier(backbone, get_model(backbone, weights=None))
    network.load_state_dict(state)
    return network


def remove_classifier(backbone: str, network: nn.Module) -> nn.Module:
    """Replace the classifier, so that the network returns its input, one vector per image."""
    if backbone == "squeezenet1_1":  # its classifier is a convolution, so the feature map must be pooled
        return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    setattr(network, HEADS[backbone], nn.Identity())
    return network.eval()


class FromPixels(nn.Module):
    """Network from uint8 pixels (N, H, W, 3) to features, with normalisation, as one graph for a compiler."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("scale", 1 / (255 * torch.tensor(STD)).view(1, 3, 1, 1))
        self.register_buffer("shift", -(torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # As (N, 3, H, W) the pixels already have the channels_last memory layout: nothing is copied.
        return self.network(pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift)


def load_pixels(content: bytes) -> Image.Image:
    """Decode an image and squash it with Pillow's bilinear resize, which is antialiased."""
    return Image.open(io.BytesIO(content)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
