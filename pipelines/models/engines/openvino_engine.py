"""OpenVINO on a CPU: no torch in the worker, two pictures at a time, so that all it touches stays in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov

from pipelines.models.backbones import Backbone
from pipelines.models.engines.graph import Graph

_BATCH = 2  # pictures a call: their activations still fit into a core's cache


class OpenVinoEngine:
    """Run a graph on `threads` threads with a fixed batch; a shorter one is filled up and cut again."""

    flights = 1

    def __init__(self, graph: Graph, backbone: Backbone, *, threads: int = 1, batch: int = 0) -> None:
        self.batch, side = batch or _BATCH, backbone.preprocessing.size
        core = ov.Core()
        constants = ov.Tensor(np.frombuffer(graph.constants, np.uint8))
        model = core.read_model(graph.nodes, constants)
        model.reshape([self.batch, side, side, 3])
        # Pinned, the workers of one machine would all sit on its first core.
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        # Some processors would take bfloat16 unasked, and features would depend on the machine that made them.
        options["INFERENCE_PRECISION_HINT"] = "f32"
        self._compiled = core.compile_model(model, "CPU", options)
        self._request = self._compiled.create_infer_request()

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Give the features of the pictures, in their order."""
        found = [self._run(pixels[start : start + self.batch]) for start in range(0, len(pixels), self.batch)]
        return np.concatenate(found)

    def _run(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        count = len(pixels)
        if count < self.batch:
            pixels = np.concatenate([pixels, np.zeros((self.batch - count, *pixels.shape[1:]), np.uint8)])
        self._request.infer({0: pixels}, share_inputs=True)
        return self._request.get_output_tensor().data[:count].copy()
