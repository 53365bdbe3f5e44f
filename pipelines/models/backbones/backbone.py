"""A backbone: a pretrained CNN with its weights and its preprocessing, named so that a change of any is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pipelines.errors import ImageError, SettingsError
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.models.backbones.catalog import architecture
from pipelines.models.backbones.weights import digest, find_weights, load_into, read_state
from pipelines.settings import Settings


class Embedding(NamedTuple):
    """One picture's features (float32, null where it failed), with the failure and the decoder's words."""

    features: np.ndarray[Any, np.dtype[np.float32]] | None
    failure: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Backbone:
    """Hold what makes features: network, weights (the file's bytes), preprocessing. Pickles; builds nothing.

    `identity` goes into the table features: name@first digits of the weights' SHA-256/preprocessing.
    """

    name: str
    weights: bytes
    preprocessing: Preprocessing
    max_pixels: int = 100_000_000

    @property
    def identity(self) -> str:
        return f"{self.name}@{_digest(self.weights)[:8]}/{self.preprocessing}"

    def embed(self, pictures: Iterable[bytes | None], *, batch: int = 8, device: str = "cpu") -> Iterator[Embedding]:
        """Give one Embedding per picture, in order. The pictures are re-cut to batches of a fixed size."""
        network = _network(self.name, _Weights(self.weights), device)
        waiting = iter(pictures)
        while chunk := list(islice(waiting, batch)):
            yield from self._embed_batch(network, chunk, device)

    def _embed_batch(self, network: nn.Module, pictures: list[bytes | None], device: str) -> list[Embedding]:
        pixels, found = [], []
        for content in pictures:
            try:
                pixels.append(self._pixels(content or b""))
                found.append(Embedding(None))
            except ImageError as error:
                found.append(Embedding(None, error.failure, error.detail))
        if pixels:
            features = iter(self._forward(network, np.stack(pixels), device))
            found = [each if each.failure else Embedding(next(features)) for each in found]
        return found

    def _pixels(self, content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return self.preprocessing.apply(decode(content, max_pixels=self.max_pixels))

    @torch.inference_mode()
    def _forward(self, network: nn.Module, pixels: np.ndarray[Any, Any], device: str) -> np.ndarray[Any, Any]:
        """Normalise on the device (a quarter of the bytes travel) and give float32 of shape (n, features)."""
        images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()  # channels last, as decoded
        mean = torch.tensor(self.preprocessing.mean, device=device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.preprocessing.std, device=device).view(1, 3, 1, 1) * 255
        result = network((images - mean) / std)
        return np.asarray(result.float().cpu().numpy(), dtype=np.float32)


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    cache: str = "~/.cache/irbis/weights",
    max_pixels: int = 100_000_000,
    **preprocessing: Any,
) -> Backbone:
    """Give a backbone with its weights read and checked; `preprocessing` changes numbers of its own (fit, size ...).

    Raises SettingsError for a name or number that is not known, WeightsError for weights.
    """
    known = architecture(name)
    path = find_weights(name, weights, cache)
    content = path.read_bytes()
    try:
        wanted = replace(known.preprocessing, **{k: v for k, v in preprocessing.items() if v is not None})
    except ValueError as error:
        raise SettingsError(f"images: {error}.") from error
    load_into(known.build(), read_state(content, str(path)), str(path), head=known.head)
    return Backbone(name, content, wanted, max_pixels)


def backbone_of(settings: Settings) -> Backbone:
    """Give the backbone that the settings name, with its weights."""
    chosen, images = settings.featurize, settings.images
    return load_backbone(
        chosen.backbone,
        weights=chosen.weights,
        cache=chosen.weights_cache,
        max_pixels=images.max_pixels,
        fit=images.fit,
        size=images.size,
        crop_bottom=images.crop_bottom,
    )


def full_network(name: str, weights: bytes) -> nn.Module:
    """Give the whole network with its classifier, in evaluation mode."""
    network = architecture(name).build()
    load_into(network, read_state(weights, name), name)
    return network.eval()


class _Weights:
    """Weights as a key of a cache: compared by their digest, hashed once."""

    def __init__(self, content: bytes):
        self.content, self.digest = content, _digest(content)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Weights) and self.digest == other.digest


@lru_cache(maxsize=2)
def _network(name: str, weights: _Weights, device: str) -> nn.Module:
    """Build the cut network once per Python worker and device, in evaluation mode."""
    known = architecture(name)
    network = known.build()
    load_into(network, read_state(weights.content, name), name, head=known.head)
    return known.cut(network).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


@lru_cache(maxsize=4)
def _digest(content: bytes) -> str:
    return digest(content)
