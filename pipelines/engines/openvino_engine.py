"""OpenVINO on a CPU, without torch in the worker. One or two images at a time keep activations in the core's cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov

from pipelines.backbones import Backbone
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import Graph
from pipelines.engines.openvino_options import cpu_options

# Images that are decoded before the network runs, and the limit on the bytes of their pixels: decoding evicts the
# network from the cache, so switching between the two for each image would reload it each time.
_BUFFERED_IMAGES, _BUFFERED_BYTES = 32, 8 * 2**20
_SMALL_BYTES = 16e6  # constants up to this size stay in the shared cache, so reading them for every image is cheap


class OpenVinoEngine:
    """An engine that runs a graph on `threads` threads with a fixed number of images per request; fewer are padded.

    A core's own cache has room for the single-precision activations of one image, or the 8-bit activations of two. A
    call splits more images into several requests.
    """

    max_concurrent_calls = 1

    def __init__(self, graph: Graph, backbone: Backbone, *, threads: int = 1, batch: int = 0) -> None:
        own = 1 if backbone.precision == "exact" and len(graph.bin) < _SMALL_BYTES else 2
        self.images_per_request, side = batch or own, backbone.preprocessing.size
        ahead = min(_BUFFERED_IMAGES, _BUFFERED_BYTES // (3 * side**2))
        self.batch = self.images_per_request * max(1, ahead // self.images_per_request)
        model = graph.to_model()
        self._adapt(model, backbone)
        model.reshape([self.images_per_request, side, side, 3])
        options = cpu_options(threads, has_bfloat16=graph.has_bfloat16 and cpu_has_bfloat16())
        # Without VNNI, sums of 16 bits would overflow: simulate the quantization in single precision.
        if graph.needs_vnni and not cpu_has_vnni():
            options["LP_TRANSFORMS_MODE"] = "NO"
        self._compiled = ov.Core().compile_model(model, "CPU", options)
        self._request = self._compiled.create_infer_request()

    def _adapt(self, model: Any, backbone: Backbone) -> None:
        """Change the model before it is compiled: for engines with more outputs."""

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the features of the images, in their order."""
        starts = range(0, len(pixels), self.images_per_request)
        return np.concatenate([self._run(pixels[start : start + self.images_per_request]) for start in starts])

    def _run(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        count = len(pixels)
        if count < self.images_per_request:
            pixels = np.concatenate([pixels, np.zeros((self.images_per_request - count, *pixels.shape[1:]), np.uint8)])
        self._request.infer({0: pixels}, share_inputs=True)
        return self._request.get_output_tensor(0).data[:count].copy()
