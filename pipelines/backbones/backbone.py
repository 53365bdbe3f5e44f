"""A backbone: a pretrained CNN, its weights and its preprocessing, under an id that changes with any of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from pipelines.backbones.devices import require_torch, torch_available
from pipelines.backbones.registry import Architecture, get_architecture
from pipelines.backbones.weights import (
    find_weights,
    is_packaged,
    read_bytes,
    require_allowed,
    sha256_hex,
    verify_checksum,
)
from pipelines.errors import ImageError, SettingsError
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.images.resize import ResizeFn, resize_image, resize_pillow
from pipelines.prefetch import prefetch_map

if TYPE_CHECKING:  # workers import this module but need no settings, whose import takes half a second
    from pipelines.config.settings import Precision

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Features = np.ndarray[Any, np.dtype[np.float32]]
Network = Callable[[Pixels], Features]


class Embedding(NamedTuple):
    """The features of one image (float32 of shape (d,); null if it failed), its failure and the decoder's message."""

    features: Features | None
    failure: str | None = None
    detail: str | None = None


ReadFn = Callable[[Any], "Pixels | Embedding"]
Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class Backbone:
    """A network by name, its weights (the bytes of the file) and its preprocessing. Picklable; builds nothing.

    `feature_id` identifies the features in the table features: name@first 8 digits of the weights'
    SHA-256/preprocessing, followed by /fast for that precision.
    """

    name: str
    weights: bytes = field(repr=False)
    preprocessing: Preprocessing
    max_pixels: int = 100_000_000
    max_seconds: float = field(default=60.0, kw_only=True, compare=False)
    precision: Precision = "exact"
    file: str = field(default="", compare=False)  # path of the weights, for error messages
    allowed_sha256: tuple[str, ...] = field(default=(), kw_only=True, compare=False, repr=False)  # of .pth files

    @property
    def feature_id(self) -> str:
        suffix = "" if self.precision == "exact" else f"/{self.precision}"
        return f"{self.name}@{self.weights_digest[:8]}/{self.preprocessing}{suffix}"

    @cached_property
    def weights_digest(self) -> str:
        """Return the SHA-256 of the weights, `none` without any. Pickled, so that workers do not recompute it."""
        return sha256_hex(self.weights) if self.weights else "none"

    @property
    def decode_side(self) -> int | None:
        """Return `min_side` of `decode`: in precision `fast`, JPEGs may be decoded at a smaller scale."""
        return self.preprocessing.min_decode_side if self.precision == "fast" else None

    def without_weights(self) -> Backbone:
        """Return a copy without the weights' bytes, which keeps the same `feature_id`."""
        light = replace(self, weights=b"")
        light.__dict__["weights_digest"] = self.weights_digest
        return light

    def with_weights(self, weights: bytes) -> Backbone:
        """Return a copy with the weights that `without_weights` removed."""
        return replace(self, weights=weights)

    def embed(
        self,
        images: Iterable[Any],
        network: Network | None = None,
        *,
        batch: int = 8,
        decode_threads: int = 0,
        read: ReadFn | None = None,
    ) -> Iterator[Embedding]:
        """Yield one Embedding per image (its bytes), in order. Images are regrouped into batches of a fixed size.

        `network` computes features from pixels. The default is the reference: Pillow's resizing and torch on the CPU
        in single precision, built once per process at the first readable image. With `decode_threads`, that many
        threads decode ahead and two run the network; 0 uses none. `read` replaces `load_pixels`, for example to add a
        time limit or to read other items than bytes, and may raise ImageError. Raises ValueError for a batch below 1.
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}: 1 or more was expected")
        default: ReadFn = self.load_pixels if network else self._load_pixels_pillow
        load = catch_image_errors(read) if read else default
        run = network or self._compute_reference
        with prefetch_map(load, images, decode_threads, 2 * batch) as decoded:
            batches = iter(lambda: list(islice(decoded, batch)), [])
            with prefetch_map(
                lambda items: _embed_batch(items, run), batches, 2 if decode_threads else 0, 2
            ) as results:
                for embeddings in results:
                    yield from embeddings

    def check(self) -> None:
        """Raise WeightsError, which names the file, if the weights do not fit the network.

        Needs torch, except for the weights that ship with the package, which are not checked without it.
        """
        if is_packaged(self.file) and not torch_available():
            return
        require_torch(f"featurize.backbone = {self.name}")
        from pipelines.backbones.torch_models import load_model

        load_model(self)

    def load_pixels(self, content: bytes | None, resize: ResizeFn = resize_image) -> Pixels | Embedding:
        """Return the network's input, uint8 of shape (side, side, 3), or an Embedding with the failure."""
        try:
            image = decode(content or b"", max_pixels=self.max_pixels, min_side=self.decode_side)
            return self.preprocessing.apply(image, resize)
        except ImageError as error:
            return Embedding(None, error.failure, error.detail)

    def _load_pixels_pillow(self, content: bytes | None) -> Pixels | Embedding:
        return self.load_pixels(content, resize_pillow)

    def _compute_reference(self, pixels: Pixels) -> Features:
        require_torch("Backbone.embed without a network")
        from pipelines.backbones.torch_models import reference_features

        return reference_features(self, pixels)


def catch_image_errors(read: Callable[[Any], Inputs | Embedding]) -> Callable[[Any], Inputs | Embedding]:
    """Wrap `read` so that an ImageError becomes an Embedding."""

    def read_or_fail(content: Any) -> Inputs | Embedding:
        try:
            return read(content)
        except ImageError as error:
            return Embedding(None, error.failure, error.detail)

    return read_or_fail


def _embed_batch(decoded: list[Pixels | Embedding], network: Network) -> list[Embedding]:
    pixels = [item for item in decoded if not isinstance(item, Embedding)]
    features = iter(network(np.stack(pixels)) if pixels else ())
    return [item if isinstance(item, Embedding) else Embedding(next(features)) for item in decoded]


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    cache: str = "~/.cache/irbis/weights",
    max_pixels: int = 100_000_000,
    max_seconds: float = 60.0,
    precision: Precision = "exact",
    allowed_sha256: Collection[str] = (),
    check: bool = True,
    **preprocessing: Any,
) -> Backbone:
    """Return a backbone with its weights read and checked.

    `preprocessing` overrides fields of the network's own Preprocessing (resize_mode, size ...). Without `check` the
    weights are read but not loaded into the network, which needs no torch and saves seconds. `allowed_sha256`: SHA-256
    of the only weights files to load (see `require_allowed` and `read_state_dict`); empty allows any. Raises
    SettingsError for an unknown name or an invalid value, WeightsError for weights that are missing or unusable.
    """
    architecture = get_architecture(name)
    overrides = {key: value for key, value in preprocessing.items() if value is not None}
    chosen = _override_preprocessing(architecture, overrides)
    if weights and not architecture.has_weights:
        raise SettingsError(f"featurize.weights = {weights}: {name} has no weights. Leave it out, or set it to null.")
    path = find_weights(name, weights, cache) if architecture.has_weights else None
    content = read_bytes(path) if path else b""
    if path and not weights:
        verify_checksum(path, content)
    if path:
        require_allowed(path, content, allowed_sha256)
    backbone = Backbone(
        name,
        content,
        chosen,
        max_pixels,
        precision,
        str(path or ""),
        max_seconds=max_seconds,
        allowed_sha256=tuple(allowed_sha256),
    )
    if check:
        backbone.check()
    return backbone


def _override_preprocessing(architecture: Architecture, overrides: dict[str, Any]) -> Preprocessing:
    """Return the network's preprocessing with other values; `resize` keeps its proportion to a new size."""
    names = [field.name for field in fields(Preprocessing)]
    unknown = [name for name in overrides if name not in names]
    if unknown:
        raise SettingsError(f"images: preprocessing has no parameter {unknown[0]}. Known: {', '.join(names)}.")
    default, (smallest, largest) = architecture.preprocessing, architecture.input_size_range
    size = overrides.get("size", default.size)
    if isinstance(size, int):
        overrides = {"resize": min(4096, round(default.resize * size / default.size)), **overrides}
    try:
        preprocessing = replace(default, **overrides)
    except ValueError as error:
        raise SettingsError(f"images: {error}.") from error
    if not smallest <= preprocessing.size <= largest:
        sizes = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        raise SettingsError(f"images.size = {preprocessing.size}: {architecture.name} takes {sizes} pixels a side.")
    return preprocessing
