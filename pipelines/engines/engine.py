"""The engine protocol, and the factory that chooses a worker's engine and builds it once per process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.backbones import Backbone
from pipelines.backbones.backbone import Features, Pixels
from pipelines.engines.graph import Graph

_MAX_CACHED = 2  # engines per process
_engines: dict[tuple[str, str, str, int], Engine] = {}


class Engine(Protocol):
    """A network ready to run: uint8 pixels of shape (n, side, side, 3) in, float32 features of shape (n, d) out.

    `batch`: images per call for the best speed. `max_concurrent_calls`: calls that may run at once, each from its own
    thread.
    """

    batch: int
    max_concurrent_calls: int

    def __call__(self, pixels: Pixels) -> Features:
        """Return the features of the images, in their order."""
        ...


@dataclass(frozen=True)
class EngineFactory:
    """A picklable factory for a backbone's engine; `weights` and `graph` are fetched only to build it.

    Without a graph, torch runs the network on CPUs too. `digest` is the graph's: a worker that outlives a change of the
    engine's settings distinguishes the networks of one backbone by it.
    """

    backbone: Backbone
    weights: Callable[[], bytes]
    graph: Callable[[], Graph] | None
    digest: str = ""

    def get(self, device: str = "auto", *, gpus: Sequence[str] = (), threads: int = 1, batch: int = 0) -> Engine:
        """Return the engine of this process; it is built at the first call.

        `device`: auto, cpu or cuda; `gpus`: addresses that Spark assigned to the task; `batch`: 0 for the engine's own.
        """
        device = _choose_device(device, gpus)
        key = (self.backbone.feature_id, self.digest, device, batch)
        if key not in _engines:
            while len(_engines) >= _MAX_CACHED:
                _engines.pop(next(iter(_engines)))
            _engines[key] = self._build(device, threads, batch)
        return _engines[key]

    def _build(self, device: str, threads: int, batch: int) -> Engine:
        if device == "cpu" and self.graph is not None:
            from pipelines.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.graph(), self.backbone, threads=threads, batch=batch)
        from pipelines.engines.torch_engine import TorchEngine

        return TorchEngine(self.backbone.with_weights(self.weights()), device, threads=threads, batch=batch)


def _choose_device(device: str, gpus: Sequence[str]) -> str:
    """Return `cpu` or `cuda:N`. Without a GPU torch is not imported: that costs a worker half a gigabyte."""
    if device == "cpu" or (device == "auto" and not gpus and not os.path.exists("/dev/nvidiactl")):
        return "cpu"
    from pipelines.backbones.devices import resolve_device

    return resolve_device(device, gpus)
