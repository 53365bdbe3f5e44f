"""OpenVINO on a CPU: no torch in the worker, an image or two at a time, so that what it touches stays in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov

from pipelines.backbones import Backbone
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import Graph

# Images that are decoded before the network sees them, and how many bytes of pixels they may come to: decoding leaves
# little of the network in the cache, which must find its way back each time.
_AHEAD, _AHEAD_BYTES = 32, 8 * 2**20
_SMALL = 16e6  # bytes of constants, which stay in the cache that cores share and are soon read for every image anew


class OpenVinoEngine:
    """Run a graph on `threads` threads with a fixed number of images at once; fewer are filled up and cut again.

    Of a core's own cache, activations in single precision leave room for one image, those in 8 bits for two. A call
    takes more of them, one after the other.
    """

    max_concurrent_calls = 1

    def __init__(self, graph: Graph, backbone: Backbone, *, threads: int = 1, batch: int = 0) -> None:
        own = 1 if backbone.precision == "exact" and len(graph.bin) < _SMALL else 2
        self.at_once, side = batch or own, backbone.preprocessing.size
        ahead = min(_AHEAD, _AHEAD_BYTES // (3 * side**2))
        self.batch = self.at_once * max(1, ahead // self.at_once)
        model = graph.model()
        model.reshape([self.at_once, side, side, 3])
        # Pinned, the workers of one machine would all sit on its first core.
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        # Unasked, some processors would take bfloat16 for all of it, and simulate it where they do not have it.
        options["INFERENCE_PRECISION_HINT"] = "bf16" if graph.has_bfloat16 and cpu_has_bfloat16() else "f32"
        if (
            graph.needs_vnni and not cpu_has_vnni()
        ):  # sums of 16 bits would overflow: the same steps in single precision
            options["LP_TRANSFORMS_MODE"] = "NO"
        self._compiled = ov.Core().compile_model(model, "CPU", options)
        self._request = self._compiled.create_infer_request()

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Give the features of the images, in their order."""
        starts = range(0, len(pixels), self.at_once)
        return np.concatenate([self._run(pixels[start : start + self.at_once]) for start in starts])

    def _run(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        count = len(pixels)
        if count < self.at_once:
            pixels = np.concatenate([pixels, np.zeros((self.at_once - count, *pixels.shape[1:]), np.uint8)])
        self._request.infer({0: pixels}, share_inputs=True)
        return self._request.get_output_tensor().data[:count].copy()
