"""The supported networks: how each is built, where its classifier is removed, and its preprocessing."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pipelines.errors import SettingsError
from pipelines.images.preprocess import Preprocessing

if TYPE_CHECKING:  # torch takes seconds to import, and most callers never build a network
    from torch import nn


# How features follow from the maps of the last layers: their mean over the image; mean and standard deviation of each
# map, map after map; or the mean, normalised over the channels (LayerNorm).
Pooling = Literal["mean", "mean_std", "mean_norm"]


@dataclass(frozen=True)
class Architecture:
    """A network: `build` returns all of it, `remove_head` removes the classifier (`head_prefix` in the weights).

    `input_size_range`: the smallest and the largest input, in pixels a side. `licence` applies to the packaged or
    downloaded weights; the user's own file has its author's. Without `has_weights` there is nothing to load, and a
    weights file is an error. `map_layers` are the modules, after `remove_head`, whose outputs are pooled to the
    features; `norm_layer` is the LayerNorm after `mean_norm`. Without `pooling` the features have no maps. `map_grids`:
    for each of these layers, the pixels from one cell to the next, and the pixel at the centre of the first: strided
    convolutions with padding look at pixels 0, 2, 4 ..., those without at 1, 3, 5 ....
    """

    name: str
    build: Callable[[], nn.Module]
    remove_head: Callable[[nn.Module], nn.Module]
    head_prefix: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    input_size_range: tuple[int, int] = (32, 4096)
    licence: str = "torchvision's (BSD-3-Clause); trained on ImageNet-1k, which has terms of use of its own"
    has_weights: bool = True
    pooling: Pooling | None = None
    map_layers: tuple[str, ...] = ()
    norm_layer: str | None = None
    map_grids: tuple[tuple[int, float], ...] = ()


def get_architecture(name: str) -> Architecture:
    """Return the named architecture. Raises SettingsError, which lists the known names, for any other."""
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise SettingsError(f"featurize.backbone = {name}: not known. {hint}Known: {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def _torchvision(
    name: str,
    remove_head: Callable[[nn.Module], nn.Module],
    head_prefix: str,
    input_size_range: tuple[int, int] = (32, 4096),
    *,
    maps: str | None = "features",
    norm: str | None = None,
    grid: tuple[int, float] = (32, 0),
    **preprocessing: Any,
) -> Architecture:
    def build() -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, weights=None)

    pooling: Pooling | None = ("mean_norm" if norm else "mean") if maps else None
    return Architecture(
        name,
        build,
        remove_head,
        head_prefix,
        Preprocessing(**preprocessing),
        input_size_range,
        pooling=pooling,
        map_layers=(maps,) if maps else (),
        norm_layer=norm,
        map_grids=(grid,) if maps else (),
    )


def _build_irbis_tiny() -> nn.Module:
    from pipelines.backbones.irbis_tiny import IrbisTiny

    return IrbisTiny()


def _build_flatten() -> nn.Module:
    from torch import nn

    return nn.Flatten()


def _replace_layer(layer: str, index: int | None = None) -> Callable[[nn.Module], nn.Module]:
    """Return a `remove_head` that replaces a layer, or one step of it, by the identity."""

    def remove_head(network: nn.Module) -> nn.Module:
        from torch import nn

        if index is None:
            setattr(network, layer, nn.Identity())
        else:
            getattr(network, layer)[index] = nn.Identity()
        return network

    return remove_head


def _pool_squeezenet(network: nn.Module) -> nn.Module:
    """Remove squeezenet's classifier. It is a convolution, so the maps before it must be pooled."""
    from torch import nn

    return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())  # type: ignore[arg-type]


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "irbis_tiny",
            _build_irbis_tiny,
            lambda network: network,
            "head",
            Preprocessing(size=160, resize=183, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
            licence="irbis's (Apache-2.0); trained on synthetic images only",
            pooling="mean_std",
            map_layers=("stage1", "stage2", "stage3"),
            map_grids=((4, 0), (8, 0), (16, 0)),
        ),
        # A baseline without a network: 3,072 normalised pixels, all red ones first, row by row.
        Architecture(
            "raw_pixels",
            _build_flatten,
            lambda network: network,
            "head",
            Preprocessing(size=32, resize=37),
            input_size_range=(32, 32),
            has_weights=False,
        ),
        _torchvision("squeezenet1_1", _pool_squeezenet, "classifier", maps="0", grid=(16, 15)),
        _torchvision("mobilenet_v2", _replace_layer("classifier"), "classifier", resize=232),
        _torchvision("mobilenet_v3_small", _replace_layer("classifier"), "classifier"),
        _torchvision("mobilenet_v3_large", _replace_layer("classifier"), "classifier", resize=232),
        _torchvision("resnet18", _replace_layer("fc"), "fc", maps="layer4"),
        _torchvision("resnet50", _replace_layer("fc"), "fc", maps="layer4", resize=232),
        _torchvision("efficientnet_b0", _replace_layer("classifier"), "classifier", interpolation="bicubic"),
        _torchvision(
            "convnext_tiny",
            _replace_layer("classifier", 2),
            "classifier.2",
            norm="classifier.0",
            grid=(32, 15.5),
            resize=236,
        ),
        _torchvision("vit_b_16", _replace_layer("heads"), "heads", (224, 224), maps=None),
    )
}
