"""torch on a GPU, and on CPUs without OpenVINO. Pixels are sent to the GPU as bytes and normalised there."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from pipelines.backbones import Backbone
from pipelines.backbones.torch_models import get_mean_std, get_model
from pipelines.errors import PlatformError

_BATCH = {"cpu": 8, "cuda": 128}
_log = logging.getLogger(__name__)


class TorchEngine:
    """An engine that runs the network on a device, in half precision on a GPU with precision `fast`.

    A batch that does not fit into the GPU's memory is halved and retried once: other tasks may share the memory.
    """

    def __init__(self, backbone: Backbone, device: str, *, threads: int = 1, batch: int = 0) -> None:
        kind = device.partition(":")[0]
        self.batch, self.max_concurrent_calls = batch or _BATCH[kind], 2 if kind == "cuda" else 1
        self._device, self._half = device, kind == "cuda" and backbone.precision == "fast"
        self._network = get_model(backbone, device)
        self._mean, self._std = get_mean_std(backbone.preprocessing, device)
        self._streams = threading.local()
        # By default, convolutions on GPUs since 2020 keep 10 bits: mobilenet_v2 at a cosine of .9995, not .9999.
        torch.backends.cudnn.allow_tf32 = False
        if kind == "cuda":
            torch.backends.cudnn.benchmark = True  # every batch has the same shape
            torch.cuda.synchronize(device)  # the concurrent calls' streams do not wait for weights still on their way
        else:
            torch.set_num_threads(threads)

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the features of the images, in their order."""
        batch = self.batch
        try:
            return self._run(pixels, batch)
        except torch.cuda.OutOfMemoryError:
            half = max(1, batch // 2)
            if half < self.batch:  # the concurrent call may have halved it already
                _log.warning("%d images do not fit into the memory of %s: %d from now on.", batch, self._device, half)
                self.batch = half
        if self._device != "cpu":
            torch.cuda.empty_cache()
        try:
            return self._run(pixels, half)
        except torch.cuda.OutOfMemoryError as error:
            raise PlatformError(
                f"{half} images do not fit into the memory of {self._device} either. Set featurize.batch_size below "
                f"{half}, or let fewer tasks share a GPU (spark.task.resource.gpu.amount)."
            ) from error

    @torch.inference_mode()
    def _run(self, pixels: np.ndarray[Any, Any], batch: int) -> np.ndarray[Any, Any]:
        with self._stream():
            outputs = [self._forward(pixels[start : start + batch], batch) for start in range(0, len(pixels), batch)]
            return np.concatenate([output.cpu().numpy() for output in outputs])

    def _forward(self, pixels: np.ndarray[Any, Any], batch: int) -> torch.Tensor:
        count = len(pixels)
        images = torch.from_numpy(pixels).to(self._device, non_blocking=True)
        if self._device != "cpu" and count < batch:  # cuDNN would benchmark its algorithms again for a new shape
            images = torch.cat([images, images.new_zeros((batch - count, *images.shape[1:]))])
        images = (images.permute(0, 3, 1, 2).float() - self._mean) / self._std  # channels last, as decoded
        with torch.autocast("cuda", torch.float16) if self._half else nullcontext():
            features = self._network(images).float()
        if self._half and not bool(torch.isfinite(features).all()):  # overflow of half precision
            features = self._network(images).float()
        return features[:count]

    def _stream(self) -> AbstractContextManager[Any]:
        """Return the calling thread's own CUDA stream, so that one call copies while another computes."""
        if self._device == "cpu":
            return nullcontext()
        if not hasattr(self._streams, "mine"):
            self._streams.mine = torch.cuda.Stream(self._device)
        return torch.cuda.stream(self._streams.mine)
