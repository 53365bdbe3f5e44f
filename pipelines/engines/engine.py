"""The engine protocol, and the factory that chooses a worker's engine and builds it once per process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.backbones import Backbone, backbones_from_settings
from pipelines.backbones.backbone import Features, Pixels
from pipelines.backbones.devices import has_nvidia_driver, require_torch, resolve_device, torch_available
from pipelines.engines.engine_cache import get_or_build
from pipelines.engines.graph import Graph, openvino_available
from pipelines.engines.graph_cache import require_convertible
from pipelines.engines.map_engine import MapEngine
from pipelines.errors import SettingsError

if TYPE_CHECKING:  # workers import this module but need no settings
    from pipelines.config.settings import EngineName, Settings

_engines: dict[tuple[str, str, str, int, str], Any] = {}


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
        engine: Engine = self._cached(self._build, _choose_device(device, gpus), threads, batch)
        return engine

    def get_with_maps(
        self, device: str = "auto", *, gpus: Sequence[str] = (), threads: int = 1, batch: int = 0
    ) -> MapEngine:
        """Return the engine of this process that also returns the maps before pooling; arguments as of `get`.

        Raises ModelError for a backbone whose features are not pooled from maps.
        """
        engine: MapEngine = self._cached(self._build_with_maps, _choose_device(device, gpus), threads, batch)
        return engine

    def _cached(self, build: Callable[[str, int, int], Any], device: str, threads: int, batch: int) -> Any:
        key = (self.backbone.feature_id, self.digest, device, batch, build.__name__)
        return get_or_build(_engines, key, lambda: build(device, threads, batch))

    def _build_with_maps(self, device: str, threads: int, batch: int) -> MapEngine:
        if device == "cpu" and self.graph is not None:
            from pipelines.engines.openvino_maps import OpenVinoMapEngine

            return OpenVinoMapEngine(self.graph(), self.backbone, threads=threads, batch=batch)
        from pipelines.engines.torch_maps import TorchMapEngine

        return TorchMapEngine(self.backbone.with_weights(self.weights()), device, threads=threads, batch=batch)

    def _build(self, device: str, threads: int, batch: int) -> Engine:
        if device == "cpu" and self.graph is not None:
            from pipelines.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.graph(), self.backbone, threads=threads, batch=batch)
        from pipelines.engines.torch_engine import TorchEngine

        return TorchEngine(self.backbone.with_weights(self.weights()), device, threads=threads, batch=batch)


def uses_openvino(engine: EngineName, device: str) -> bool:
    """Return whether OpenVINO runs the network on CPUs. Raises SettingsError if it is required, but not installed."""
    if engine == "openvino" and not openvino_available():
        raise SettingsError(
            "featurize.engine = openvino, which is not installed. pip install openvino, or set it to auto."
        )
    return engine == "openvino" or (engine == "auto" and device != "cuda" and openvino_available())


def require_packages(settings: Settings) -> None:
    """Raise a UserError if featurize with these settings needs OpenVINO or torch and it is not installed.

    For use before any work is done: it takes milliseconds, and imports neither.
    """
    options = settings.featurize
    is_openvino = uses_openvino(options.engine, options.device)
    if torch_available():
        return
    if options.device == "cuda":
        require_torch("featurize.device = cuda")
    if not is_openvino:
        require_torch(f"featurize.engine = {options.engine}{' without OpenVINO' if options.engine == 'auto' else ''}")
    for backbone in backbones_from_settings(settings, check=False):
        require_convertible(backbone, options.weights_cache)


def _choose_device(device: str, gpus: Sequence[str]) -> str:
    """Return `cpu` or `cuda:N`. Without a GPU torch is not imported: that costs a worker half a gigabyte.

    A GPU that Spark did not assign to the task is not used if torch is missing.
    """
    if device == "cpu" or (device == "auto" and not gpus and not (has_nvidia_driver() and torch_available())):
        return "cpu"
    return resolve_device(device, gpus)
