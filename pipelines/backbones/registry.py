"""The backbones: which networks there are, where each is cut, and the preprocessing each was trained with."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.errors import SettingsError
from pipelines.images.preprocess import Preprocessing

if TYPE_CHECKING:  # torch takes seconds to load, and most that look a network up never build it
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """Describe a network: `build` gives it whole, `cut` takes off the classifier, called `head` in the weights.

    `sides`: the smallest and the largest image, in pixels a side, that it takes. `licence` is that of the weights
    that are shipped or downloaded; a file of the user's own has its maker's. Without `has_weights` there is nothing to
    load, and to name a file of weights is a mistake.
    """

    name: str
    build: Callable[[], nn.Module]
    remove_head: Callable[[nn.Module], nn.Module]
    head_prefix: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    input_size_range: tuple[int, int] = (32, 4096)
    licence: str = "torchvision's (BSD-3-Clause); trained on ImageNet-1k, which has terms of use of its own"
    has_weights: bool = True


def get_architecture(name: str) -> Architecture:
    """Give the named architecture, or raise SettingsError with the names there are."""
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise SettingsError(f"featurize.backbone = {name}: not known. {hint}Known: {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def _torchvision(
    name: str,
    cut: Callable[[nn.Module], nn.Module],
    head: str,
    sides: tuple[int, int] = (32, 4096),
    **preprocessing: Any,
) -> Architecture:
    def build() -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, weights=None)

    return Architecture(name, build, cut, head, Preprocessing(**preprocessing), sides)


def _irbis_tiny() -> nn.Module:
    from pipelines.backbones.irbis_tiny import IrbisTiny

    return IrbisTiny()


def _flat() -> nn.Module:
    from torch import nn

    return nn.Flatten()


def _without(layer: str, index: int | None = None) -> Callable[[nn.Module], nn.Module]:
    """Give a cut that replaces a layer, or one step of it, by nothing."""

    def cut(network: nn.Module) -> nn.Module:
        from torch import nn

        if index is None:
            setattr(network, layer, nn.Identity())
        else:
            getattr(network, layer)[index] = nn.Identity()
        return network

    return cut


def _pooled(network: nn.Module) -> nn.Module:
    """Cut squeezenet: its classifier is a convolution, so what stands before it must be pooled."""
    from torch import nn

    return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())  # type: ignore[arg-type]


ARCHITECTURES = {
    each.name: each
    for each in (
        Architecture(
            "irbis_tiny",
            _irbis_tiny,
            lambda network: network,
            "head",
            Preprocessing(size=160, resize=183, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
            licence="irbis's (Apache-2.0); trained on images made from formulas alone",
        ),
        # The floor that the others must beat: 3,072 normalised pixels, all red ones first, row by row.
        Architecture(
            "raw_pixels",
            _flat,
            lambda network: network,
            "head",
            Preprocessing(size=32, resize=37),
            input_size_range=(32, 32),
            has_weights=False,
        ),
        _torchvision("squeezenet1_1", _pooled, "classifier"),
        _torchvision("mobilenet_v2", _without("classifier"), "classifier", resize=232),
        _torchvision("mobilenet_v3_small", _without("classifier"), "classifier"),
        _torchvision("mobilenet_v3_large", _without("classifier"), "classifier", resize=232),
        _torchvision("resnet18", _without("fc"), "fc"),
        _torchvision("resnet50", _without("fc"), "fc", resize=232),
        _torchvision("efficientnet_b0", _without("classifier"), "classifier", interpolation="bicubic"),
        _torchvision("convnext_tiny", _without("classifier", 2), "classifier.2", resize=236),
        _torchvision("vit_b_16", _without("heads"), "heads", sides=(224, 224)),
    )
}
