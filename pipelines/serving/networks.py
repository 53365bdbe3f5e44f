"""The networks of a served model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.backbones import Backbone
from pipelines.backbones.backbone import Features, Pixels
from pipelines.backbones.devices import require_torch
from pipelines.engines import Engine
from pipelines.engines.graph import openvino_available, read_graph
from pipelines.errors import ModelError, PlatformError
from pipelines.serving.description import Description, ServedBackbone

WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Network:
    """A backbone with its engine. With `flips`, the features of the flipped images are computed too."""

    backbone: Backbone
    engine: Engine
    flips: bool

    @property
    def batch(self) -> int:
        return self.engine.batch

    def run(self, pixels: Pixels) -> list[Features]:
        """Return the features of each view of images of shape (n, side, side, 3)."""
        views = [pixels, np.ascontiguousarray(pixels[:, :, ::-1])] if self.flips else [pixels]
        return [self.engine(view) for view in views]


def load_networks(folder: Path, description: Description, threads: int) -> list[Network]:
    """Return the networks of a model, in their order. Raises ModelError for damaged files."""
    flips = description.policy.average_flip
    return [_load_network(folder, each, description, threads, flips) for each in description.backbones]


def _load_network(folder: Path, served: ServedBackbone, description: Description, threads: int, flips: bool) -> Network:
    backbone = served.to_backbone(description.limits)
    if backbone.feature_id != served.feature_id:
        raise ModelError(
            f"{folder} describes {served.feature_id}, but this irbis calls its features {backbone.feature_id}."
        )
    files = folder / served.folder
    try:
        return Network(backbone, _build_engine(backbone, files, served, threads), flips)
    except (OSError, ValueError) as error:
        raise ModelError(f"{files} is damaged ({error}): export the model again.") from error


def _build_engine(backbone: Backbone, files: Path, served: ServedBackbone, threads: int) -> Engine:
    if served.format == "openvino":
        if not openvino_available():
            raise PlatformError(f"{files} is a graph of OpenVINO, which is not installed. pip install openvino")
        from pipelines.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(read_graph(files), backbone, threads=threads)
    require_torch(f"the model in {files.parent.parent}")
    from pipelines.engines.torch_engine import TorchEngine

    return TorchEngine(backbone.with_weights((files / WEIGHTS_FILE).read_bytes()), "cpu", threads=threads)
