"""Predict images with a served model: bytes, texts or paths in, rows of predictions out. No Spark, no Java."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ImageError, ModelError
from pipelines.evaluation.burst_vote import aggregate_burst
from pipelines.evaluation.needs_review import needs_review
from pipelines.images.subprocess_decoder import SubprocessReader
from pipelines.prefetch import prefetch_map
from pipelines.schemas import Failure
from pipelines.serving.description import Description
from pipelines.serving.head import Floats, Head
from pipelines.serving.image_input import AllowedSources, read_image
from pipelines.serving.networks import Network, load_networks
from pipelines.serving.pixels import PixelReader

HEAD_FILE = "head.npz"
_log = logging.getLogger(__name__)
Image = str | bytes | None


class Prediction(NamedTuple):
    """The prediction for one image. The fields are columns of the table `predictions` and mean the same.

    If the image cannot be read, `failure` says why and `needs_review` is True; the others are None, and the
    probabilities empty. Without bursts the burst columns hold the image's own prediction.
    """

    prediction: str | None
    score: float | None
    probabilities: dict[str, float]
    burst_prediction: str | None
    burst_score: float | None
    needs_review: bool
    failure: str | None
    failure_detail: str | None
    model_version: str


class Predictor:
    """A served model, loaded once. Thread-safe: images are decoded in parallel, and the network runs for one call."""

    def __init__(
        self,
        description: Description,
        head: Head,
        networks: Sequence[Network],
        *,
        allowed: AllowedSources,
        threads: int,
        isolate: bool,
    ) -> None:
        self.description = description
        self._head, self._networks, self._allowed, self._threads = head, networks, allowed, threads
        self._decode = PixelReader(tuple(network.backbone for network in networks), description.limits.max_bytes)
        self._children = queue.LifoQueue[SubprocessReader[Any]]()
        for _ in range(threads if isolate else 0):  # each starts at its first image
            self._children.put(SubprocessReader(self._decode, description.limits.max_seconds))
        self._isolate, self._lock = isolate, threading.Lock()

    columns = Prediction._fields

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        allowed: AllowedSources = AllowedSources(any_file=True),  # noqa: B008 (immutable)
        threads: int | None = None,
        isolate: bool = False,
    ) -> Predictor:
        """Load the model in a folder. Raises ModelError if there is none, or if it is damaged.

        `allowed`: the files and URLs that may be read; by default every local file, for programs that run as their
        user. `threads`: of decoding and of the network; by default OMP_NUM_THREADS, else one per core. `isolate`:
        decode in child processes, so that an image that crashes or blocks a decoder does not end the server.
        """
        folder, threads = Path(folder), threads or _default_threads()
        description = Description.read(folder)
        head = Head.load(folder / HEAD_FILE)
        if head.classes != len(description.labels):
            raise ModelError(f"{folder}: the head has {head.classes} classes, but {len(description.labels)} labels.")
        networks = load_networks(folder, description, threads)
        return cls(description, head, networks, allowed=allowed, threads=threads, isolate=isolate)

    def predict(self, images: Sequence[Image], bursts: Sequence[str | None] | None = None) -> list[Prediction]:
        """Return one prediction per image, in order.

        An image is its bytes, or a text as of `read_image`. `bursts` are names of the images' bursts, whose readable
        frames vote as in `irbis score`; an image without a name is a burst of its own.
        """
        if bursts is not None and len(bursts) != len(images):
            raise ModelError(f"{len(images)} images have {len(bursts)} names of bursts: one for each was expected.")
        failures: dict[int, ImageError] = {}
        probabilities = self._predict_readable(images, failures)
        readable = [i for i in range(len(images)) if i not in failures]
        rows = dict(zip(readable, self._decide(probabilities, readable, bursts), strict=True))
        return [rows[i] if i in rows else self._failed(failures[i]) for i in range(len(images))]

    def close(self) -> None:
        """End the child processes."""
        with suppress(queue.Empty):
            while True:
                self._children.get_nowait().close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _predict_readable(self, images: Sequence[Image], failures: dict[int, ImageError]) -> Floats:
        """Return probabilities of the readable images, and add the others to `failures` by index."""
        batch = max(network.batch for network in self._networks)
        threads = min(self._threads, len(images)) if len(images) > 1 else 0
        parts = []
        with prefetch_map(self._read, images, threads, 2 * batch) as results:
            for pixels in _batches(results, failures, batch):
                with self._lock:
                    views = [network.run(stack) for network, stack in zip(self._networks, pixels, strict=True)]
                plain = np.concatenate([view[0] for view in views], axis=1)
                flipped = np.concatenate([view[1] for view in views], axis=1) if len(views[0]) > 1 else None
                parts.append(self._head.predict(plain, flipped))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.description.labels)))

    def _read(self, image: Image) -> list[NDArray[np.uint8]] | ImageError:
        """Return the pixels of an image for each backbone, or why it cannot be read."""
        try:
            content = read_image(image, self._allowed, self.description.limits.max_bytes)
            if not self._isolate:
                return self._decode(content)
            child = self._children.get()
            try:
                return child(content)
            finally:
                self._children.put(child)
        except ImageError as error:
            return error
        except RuntimeError as error:  # a defect of a decoder, or a child that cannot start
            _log.exception("An image could not be read")
            return ImageError(Failure.CRASHED, str(error)[:300])

    def _decide(
        self, own: Floats, readable: Sequence[int], bursts: Sequence[str | None] | None
    ) -> Iterator[Prediction]:
        model, names = self.description, self.description.labels
        if not len(own):
            return
        keys = [f"burst {bursts[i]}" if bursts and bursts[i] is not None else f"image {i}" for i in readable]
        vote = aggregate_burst(own, keys, model.policy.max_weight)
        review = needs_review(vote, names, model.policy, model.rule)
        for row, burst, is_unsure in zip(own, vote, review, strict=True):
            best, best_of_burst = int(row.argmax()), int(burst.argmax())
            yield Prediction(
                names[best],
                float(row[best]),
                dict(zip(names, row.tolist(), strict=True)),
                names[best_of_burst],
                float(burst[best_of_burst]),
                bool(is_unsure),
                None,
                None,
                model.model_version,
            )

    def _failed(self, error: ImageError) -> Prediction:
        version = self.description.model_version
        return Prediction(None, None, {}, None, None, True, error.failure, error.detail or None, version)


def _batches(
    results: Iterable[list[NDArray[np.uint8]] | ImageError], failures: dict[int, ImageError], batch: int
) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield the pixels of readable images, stacked for each backbone; add the other results to `failures`."""

    def readable() -> Iterator[list[NDArray[np.uint8]]]:
        for i, result in enumerate(results):
            if isinstance(result, ImageError):
                failures[i] = result
            else:
                yield result

    pixels = readable()
    while chunk := list(islice(pixels, batch)):
        yield [np.stack(each) for each in zip(*chunk, strict=True)]


def _default_threads() -> int:
    """Return OMP_NUM_THREADS, which Spark sets to the cores of a task; else the cores that this process may use."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
