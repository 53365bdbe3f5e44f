"""A backbone: a pretrained CNN with its weights and its preprocessing, named so that a change of any is seen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipelines.backbones.prefetch import prefetch_map
from pipelines.backbones.registry import Architecture, get_architecture
from pipelines.backbones.weights import find_weights, read_bytes, require_listed, require_whole, sha256_hex
from pipelines.errors import ImageError, SettingsError
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.images.resize import ResizeFn, resize_image, resize_pillow

if TYPE_CHECKING:  # workers, which import this module, need no settings, and they take half a second
    from pipelines.config.settings import Precision

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Features = np.ndarray[Any, np.dtype[np.float32]]
Network = Callable[[Pixels], Features]


class Embedding(NamedTuple):
    """One image's features (float32, null where it failed), with the failure and the decoder's words."""

    features: Features | None
    failure: str | None = None
    detail: str | None = None


Read = Callable[["bytes | None"], "Pixels | Embedding"]


@dataclass(frozen=True)
class Backbone:
    """Hold what makes features: network, weights (the file's bytes), preprocessing. Pickles; builds nothing.

    `identity` goes into the table features: name@first digits of the weights' SHA-256/preprocessing, and /fast with
    that precision.
    """

    name: str
    weights: bytes = field(repr=False)
    preprocessing: Preprocessing
    max_pixels: int = 100_000_000
    max_seconds: float = field(default=60.0, kw_only=True, compare=False)
    precision: Precision = "exact"
    file: str = field(default="", compare=False)  # where the weights were read, for errors
    listed: tuple[str, ...] = field(default=(), kw_only=True, compare=False, repr=False)  # of .pth files

    @property
    def feature_id(self) -> str:
        suffix = "" if self.precision == "exact" else f"/{self.precision}"
        return f"{self.name}@{self.weights_digest[:8]}/{self.preprocessing}{suffix}"

    @cached_property
    def weights_digest(self) -> str:
        """Give the SHA-256 of the weights, `none` without any. Travels with the pickle: no worker computes it again."""
        return sha256_hex(self.weights) if self.weights else "none"

    def without_weights(self) -> Backbone:
        """Give the same backbone, by its identity too, without the megabytes."""
        light = replace(self, weights=b"")
        light.__dict__["weights_digest"] = self.weights_digest
        return light

    def with_weights(self, weights: bytes) -> Backbone:
        """Give the backbone with the weights that `without_weights` left behind."""
        return replace(self, weights=weights)

    def embed(
        self,
        images: Iterable[bytes | None],
        network: Network | None = None,
        *,
        batch: int = 8,
        readers: int = 0,
        read: Read | None = None,
    ) -> Iterator[Embedding]:
        """Give one Embedding per image, in order. The images are re-cut to batches of a fixed size.

        `network` gives features of pixels; by default the reference: Pillow's scaling, torch on the CPU in single
        precision, built at the first readable image, once per process. `readers`: threads that decode ahead, and
        two that run the network; 0 for none. `read` replaces the method of that name, with limits for
        which it raises ImageError. Raises ValueError for a batch below 1.
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}: 1 or more was expected")
        run, own = (network, self.load_pixels) if network else (self._reference, self._read_by_pillow)
        with prefetch_map(_named(read) if read else own, images, readers, 2 * batch) as decoded:
            batches = iter(lambda: list(islice(decoded, batch)), [])
            with prefetch_map(lambda each: _embedded(each, run), batches, 2 if readers else 0, 2) as found:
                for embeddings in found:
                    yield from embeddings

    def check(self) -> None:
        """Raise WeightsError, with the name of their file, if the weights do not fit the network."""
        from pipelines.backbones.torch_models import load_model

        load_model(self)

    def load_pixels(self, content: bytes | None, scale: ResizeFn = resize_image) -> Pixels | Embedding:
        """Give the pixels that the network sees, uint8 (side, side, 3), or an Embedding that says why it sees none."""
        at_least = self.preprocessing.min_decode_side if self.precision == "fast" else None
        try:
            image = decode(content or b"", max_pixels=self.max_pixels, at_least=at_least)
            return self.preprocessing.apply(image, scale)
        except ImageError as error:
            return Embedding(None, error.failure, error.detail)

    def _read_by_pillow(self, content: bytes | None) -> Pixels | Embedding:
        return self.load_pixels(content, resize_pillow)

    def _reference(self, pixels: Pixels) -> Features:
        from pipelines.backbones.torch_models import reference_features  # torch: only who embeds needs it

        return reference_features(self, pixels)


def _named(read: Read) -> Read:
    """Return `read`, with an Embedding in place of an ImageError."""

    def reading(content: bytes | None) -> Pixels | Embedding:
        try:
            return read(content)
        except ImageError as error:
            return Embedding(None, error.failure, error.detail)

    return reading


def _embedded(decoded: list[Pixels | Embedding], network: Network) -> list[Embedding]:
    pixels = [each for each in decoded if not isinstance(each, Embedding)]
    features = iter(network(np.stack(pixels)) if pixels else ())
    return [each if isinstance(each, Embedding) else Embedding(next(features)) for each in decoded]


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    cache: str = "~/.cache/irbis/weights",
    max_pixels: int = 100_000_000,
    max_seconds: float = 60.0,
    precision: Precision = "exact",
    listed: Collection[str] = (),
    check: bool = True,
    **preprocessing: Any,
) -> Backbone:
    """Give a backbone with its weights read and checked; `preprocessing` changes numbers of its own (fit, size ...).

    Without `check` the weights are only named: that takes no torch, and no seconds. `listed`: SHA-256 of the only
    files of weights to load (see `require_listed` and `read_state`); empty for any. Raises SettingsError for a name
    or number that is not known, WeightsError for weights.
    """
    known = get_architecture(name)
    wanted = _changed(known, {key: value for key, value in preprocessing.items() if value is not None})
    if weights and not known.has_weights:
        raise SettingsError(f"featurize.weights = {weights}: {name} has no weights. Leave it out, or set it to null.")
    path = find_weights(name, weights, cache) if known.has_weights else None
    content = read_bytes(path) if path else b""
    if path and not weights:
        require_whole(path, content)
    if path:
        require_listed(path, content, listed)
    backbone = Backbone(
        name, content, wanted, max_pixels, precision, str(path or ""), max_seconds=max_seconds, listed=tuple(listed)
    )
    if check:
        backbone.check()
    return backbone


def _changed(known: Architecture, numbers: dict[str, Any]) -> Preprocessing:
    """Give the network's preprocessing with other numbers; `resize` keeps its proportion to a new size."""
    names = [each.name for each in fields(Preprocessing)]
    unknown = [name for name in numbers if name not in names]
    if unknown:
        raise SettingsError(
            f"images: no number of the preprocessing is called {unknown[0]}. Known: {', '.join(names)}."
        )
    own, (least, most) = known.preprocessing, known.input_size_range
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
