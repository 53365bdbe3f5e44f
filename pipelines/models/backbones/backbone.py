"""A backbone: a pretrained CNN with its weights and its preprocessing, named so that a change of any is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import ImageError, SettingsError
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.models.backbones.catalog import Architecture, architecture
from pipelines.models.backbones.weights import digest, find_weights, read_file
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
    weights: bytes = field(repr=False)
    preprocessing: Preprocessing
    max_pixels: int = 100_000_000

    @property
    def identity(self) -> str:
        return f"{self.name}@{self.weights_digest[:8]}/{self.preprocessing}"

    @cached_property
    def weights_digest(self) -> str:
        """Give the SHA-256 of the weights. Travels with the pickle, so that no worker computes it again."""
        return digest(self.weights)

    def embed(self, pictures: Iterable[bytes | None], *, batch: int = 8, device: str = "cpu") -> Iterator[Embedding]:
        """Give one Embedding per picture, in order. The pictures are re-cut to batches of a fixed size.

        The network is built at the first readable one, once per process and device. Raises ValueError for a batch
        below 1.
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}: 1 or more was expected")
        waiting = iter(pictures)
        while chunk := list(islice(waiting, batch)):
            yield from self._embed_batch(chunk, device)

    def check(self, weights: str = "") -> None:
        """Raise WeightsError, with the name of the weights, if they do not fit the network."""
        from pipelines.models.backbones.networks import load

        load(self.name, self.weights, weights or self.name)

    def _embed_batch(self, pictures: list[bytes | None], device: str) -> list[Embedding]:
        pixels, found = [], []
        for content in pictures:
            try:
                pixels.append(self._pixels(content or b""))
                found.append(Embedding(None))
            except ImageError as error:
                found.append(Embedding(None, error.failure, error.detail))
        if pixels:
            from pipelines.models.backbones.networks import forward  # torch: only who embeds needs it

            features = iter(forward(self, np.stack(pixels), device))
            found = [each if each.failure else Embedding(next(features)) for each in found]
        return found

    def _pixels(self, content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return self.preprocessing.apply(decode(content, max_pixels=self.max_pixels))


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    cache: str = "~/.cache/irbis/weights",
    max_pixels: int = 100_000_000,
    check: bool = True,
    **preprocessing: Any,
) -> Backbone:
    """Give a backbone with its weights read and checked; `preprocessing` changes numbers of its own (fit, size ...).

    Without `check` the weights are only named: that takes no torch, and no seconds. Raises SettingsError for a name
    or number that is not known, WeightsError for weights.
    """
    known = architecture(name)
    wanted = _changed(known, {key: value for key, value in preprocessing.items() if value is not None})
    path = find_weights(name, weights, cache)
    backbone = Backbone(name, read_file(path), wanted, max_pixels)
    if check:
        backbone.check(str(path))
    return backbone


def backbone_of(settings: Settings, *, check: bool = True) -> Backbone:
    """Give the backbone that the settings name, with its weights, checked unless only its identity is wanted."""
    chosen, images = settings.featurize, settings.images
    return load_backbone(
        chosen.backbone,
        weights=chosen.weights,
        cache=chosen.weights_cache,
        max_pixels=images.max_pixels,
        fit=images.fit,
        size=images.size,
        crop_bottom=images.crop_bottom,
        check=check,
    )


def _changed(known: Architecture, numbers: dict[str, Any]) -> Preprocessing:
    """Give the network's preprocessing with other numbers; `resize` keeps its proportion to a new size."""
    names = [each.name for each in fields(Preprocessing)]
    unknown = [name for name in numbers if name not in names]
    if unknown:
        raise SettingsError(
            f"images: no number of the preprocessing is called {unknown[0]}. Known: {', '.join(names)}."
        )
    own, (least, most) = known.preprocessing, known.sides
    size = numbers.get("size", own.size)
    if isinstance(size, int):
        numbers = {"resize": min(4096, round(own.resize * size / own.size)), **numbers}
    try:
        changed = replace(own, **numbers)
    except ValueError as error:
        raise SettingsError(f"images: {error}.") from error
    if not least <= changed.size <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise SettingsError(f"images.size = {changed.size}: {known.name} takes {takes} pixels a side.")
    return changed
