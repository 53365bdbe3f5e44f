"""torch with the maps before pooling, which forward hooks record."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from pipelines.backbones import Backbone
from pipelines.backbones.registry import get_architecture
from pipelines.engines.map_engine import MappedFeatures, require_maps
from pipelines.engines.torch_engine import TorchEngine
from pipelines.explanation.contributions import LayerNorm

_CUDA_BATCH = 32  # maps take a hundred times the memory of features


class TorchMapEngine(TorchEngine):
    """The engine of a copy of the network with hooks on the layers that are pooled."""

    def __init__(self, backbone: Backbone, device: str, *, threads: int = 1, batch: int = 0) -> None:
        require_maps(backbone)
        super().__init__(backbone, device, threads=threads, batch=batch or (0 if device == "cpu" else _CUDA_BATCH))
        self._network = copy.deepcopy(self._network)  # the original is shared by this process
        architecture = get_architecture(backbone.name)
        self._recorded: dict[str, torch.Tensor] = {}
        modules = dict(self._network.named_modules())
        for name in architecture.map_layers:
            modules[name].register_forward_hook(self._recorder(name))
        self.norm = _read_norm(modules[architecture.norm_layer]) if architecture.norm_layer else None

    def compute_maps(self, pixels: np.ndarray[Any, Any]) -> MappedFeatures:
        """Return features and maps of the images, in their order. Not for concurrent calls: the hooks belong to one."""
        outputs = []
        for start in range(0, len(pixels), self.batch):
            part = pixels[start : start + self.batch]
            features = self._run(part, self.batch)
            layers = [layer[: len(part)].float().cpu().contiguous().numpy() for layer in self._recorded.values()]
            outputs.append([features, *layers])
        features, *layers = map(np.concatenate, zip(*outputs, strict=True))
        return MappedFeatures(features, tuple(layers))

    def _recorder(self, name: str) -> Any:
        def record(module: Any, inputs: Any, output: torch.Tensor) -> None:
            self._recorded[name] = output

        return record


def _read_norm(module: torch.nn.Module) -> LayerNorm:
    assert isinstance(module, torch.nn.LayerNorm)  # torchvision's LayerNorm2d is one
    scale, shift = (parameter.detach().cpu().double().numpy() for parameter in (module.weight, module.bias))
    return LayerNorm(scale, shift, module.eps)
