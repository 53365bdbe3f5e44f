"""The seam behind which networks run: which engine a worker takes, built once per process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.backbones import Backbone
from pipelines.backbones.backbone import Features, Pixels
from pipelines.engines.graph import Graph

_KEPT = 2  # engines a process keeps
_engines: dict[tuple[str, str, str, int], Engine] = {}


class Engine(Protocol):
    """Run a network: uint8 pixels of shape (n, side, side, 3) in, float32 features of shape (n, d) out.

    `batch`: images a call that make it fastest. `max_concurrent_calls`: calls that may run at once, from threads of their own.
    """

    batch: int
    max_concurrent_calls: int

    def __call__(self, pixels: Pixels) -> Features:
        """Give the features of the images, in their order."""
        ...


@dataclass(frozen=True)
class EngineFactory:
    """Hold what workers need to build the engine of a backbone; `weights` and `graph` are fetched only to build it.

    Without a graph, torch runs the network on CPUs too. `digest`: the graph's, by which a worker that outlives a change
    of the engine's settings tells one network of a backbone from another.
    """

    backbone: Backbone
    weights: Callable[[], bytes]
    graph: Callable[[], Graph] | None
    digest: str = ""

    def get(self, device: str = "auto", *, gpus: Sequence[str] = (), threads: int = 1, batch: int = 0) -> Engine:
        """Give the engine for this process, the one built before if there is one.

        `device`: auto, cpu or cuda; `gpus`: addresses that Spark assigned to the task; `batch`: 0 for the engine's own.
        """
        place = _place(device, gpus)
        key = (self.backbone.feature_id, self.digest, place, batch)
        if key not in _engines:
            while len(_engines) >= _KEPT:
                _engines.pop(next(iter(_engines)))
            _engines[key] = self._build(place, threads, batch)
        return _engines[key]

    def _build(self, place: str, threads: int, batch: int) -> Engine:
        if place == "cpu" and self.graph is not None:
            from pipelines.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.graph(), self.backbone, threads=threads, batch=batch)
        from pipelines.engines.torch_engine import TorchEngine

        return TorchEngine(self.backbone.with_weights(self.weights()), place, threads=threads, batch=batch)


def _place(device: str, gpus: Sequence[str]) -> str:
    """Give `cpu` or `cuda:N`, without torch where there cannot be a GPU: its import costs a worker half a gigabyte."""
    if device == "cpu" or (device == "auto" and not gpus and not os.path.exists("/dev/nvidiactl")):
        return "cpu"
    from pipelines.backbones.devices import resolve_device

    return resolve_device(device, gpus)
