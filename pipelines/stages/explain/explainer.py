"""Explain images on the executors: compressed bytes in, boxes out.

Workers import no Spark, no pandas and no settings for this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.backbones import Backbone, Embedding
from pipelines.backbones.backbone import Pixels, catch_image_errors
from pipelines.backbones.registry import get_architecture
from pipelines.engines.map_engine import MapEngine, MappedFeatures, require_consistent, require_maps
from pipelines.errors import ImageError
from pipelines.explanation.boxes import Attention, combine, locate
from pipelines.explanation.contributions import Contributions, contributions
from pipelines.explanation.geometry import input_region, place_cells, to_image
from pipelines.images.decode import decode
from pipelines.prefetch import prefetch_map

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Inputs(NamedTuple):
    """The input of each backbone for one image, and the size of the upright image."""

    pixels: tuple[Pixels, ...]
    width: int
    height: int


ReadFn = Callable[["bytes | None"], "Inputs | Embedding"]

BOXES_ARROW_SCHEMA = pa.schema(
    [("content_hash", pa.string()), ("path", pa.string()), ("label", pa.string())]
    + [(name, pa.float64()) for name in ("x", "y", "width", "height", "peak_x", "peak_y")]
    + [("failure", pa.string()), ("failure_detail", pa.string())]
)
BOXES_DDL = (
    "content_hash string, path string, label string, x double, y double, width double, height double, "
    "peak_x double, peak_y double, failure string, failure_detail string"
)
Result = tuple["Item", int, "Attention | Embedding | None"]  # the index of the explained class, and where it is seen
FLAT = "the map is the same everywhere"


class Item(NamedTuple):
    """An image to explain, with its probabilities in the order of the classes."""

    content_hash: str
    path: str
    scores: Sequence[float]
    content: bytes | None


@dataclass(frozen=True)
class Explainer:
    """What a worker needs beside the engines: how each class differs from the others, by feature.

    `directions`: shape (k, d), the contrast of each class (`LinearHead.contrasts`). `explained`: the indices of the
    classes that may be explained, all but blank. `method`: as in the table boxes. `average_flip`: whether logits are
    those of both views, averaged.
    """

    backbones: tuple[Backbone, ...]
    classes: tuple[str, ...]
    explained: tuple[int, ...]
    directions: np.ndarray[Any, np.dtype[np.float32]]
    method: str
    average_flip: bool = False

    def without_weights(self) -> Explainer:
        """Return a copy whose backbones lack the weights' bytes."""
        return replace(self, backbones=tuple(backbone.without_weights() for backbone in self.backbones))

    def with_directions(self, directions: np.ndarray[Any, np.dtype[np.float32]]) -> Explainer:
        """Return a copy with other directions."""
        return replace(self, directions=directions)

    def choose(self, scores: Sequence[float]) -> int:
        """Return the index of the most probable class that is not blank."""
        return max(self.explained, key=lambda i: scores[i])

    def explain(
        self, items: Iterable[Item], engines: Sequence[MapEngine], read: ReadFn, *, decode_threads: int = 0
    ) -> Iterator[Result]:
        """Yield each image with the index of its explained class and its attention; None where its map is flat.

        An image that cannot be decoded yields an Embedding with the failure instead.
        """
        batch, is_first = engines[0].batch, True
        load = partial(_load, catch_image_errors(read))
        with prefetch_map(load, items, decode_threads, 2 * batch) as loaded:
            while chunk := list(islice(loaded, batch)):
                readable = [(item, inputs) for item, inputs in chunk if isinstance(inputs, Inputs)]
                if readable and is_first:
                    for backbone, engine, pixels in zip(self.backbones, engines, readable[0][1].pixels, strict=True):
                        require_consistent(engine.compute_maps(pixels[np.newaxis]), backbone, engine.norm)
                    is_first = False
                attention = iter(self._attention(readable, engines) if readable else ())
                for item, inputs in chunk:
                    found = next(attention) if isinstance(inputs, Inputs) else inputs
                    yield item, self.choose(item.scores), found

    def _attention(
        self, images: Sequence[tuple[Item, Inputs]], engines: Sequence[MapEngine]
    ) -> Iterator[Attention | None]:
        labels = [self.choose(item.scores) for item, _ in images]
        pixels = [np.stack(views) for views in zip(*(inputs.pixels for _, inputs in images), strict=True)]
        canvas = self._canvas(labels, pixels, engines)
        if self.average_flip:  # cells of the flipped image lie between those of the image
            mirrored = [np.ascontiguousarray(each[:, :, ::-1]) for each in pixels]
            canvas = (canvas + self._canvas(labels, mirrored, engines)[:, :, ::-1]) / 2
        for (_, inputs), values in zip(images, canvas, strict=True):
            found = locate(values)
            region = input_region(self.backbones[0].preprocessing, inputs.width, inputs.height)
            yield to_image(found, region) if found else None

    def _canvas(self, labels: Sequence[int], pixels: Sequence[Pixels], engines: Sequence[MapEngine]) -> Floats:
        """Return the sum of all contribution maps, on a grid over the input of the first backbone."""
        outputs = [engine.compute_maps(each) for engine, each in zip(engines, pixels, strict=True)]
        norms = [engine.norm for engine in engines]
        each_backbone = split_contributions(self.directions[labels], self.backbones, outputs, norms)
        reference = self.backbones[0].preprocessing
        grids = [
            place_cells(*grid, backbone.preprocessing, reference)
            for backbone in self.backbones
            for grid in get_architecture(backbone.name).map_grids
        ]
        return combine([values for found in each_backbone for values in found.maps], grids)


def split_contributions(
    directions: Any, backbones: Sequence[Backbone], outputs: Sequence[MappedFeatures], norms: Sequence[Any]
) -> list[Contributions]:
    """Return the contributions of each backbone; `directions` (n, d) are on their concatenated features.

    Features of crops, which follow with as many values for each view, have no maps.
    """
    widths = [found.features.shape[1] for found in outputs]
    if directions.shape[1] % sum(widths):
        raise ValueError(f"the classifier has {directions.shape[1]} weights, the backbones {sum(widths)} features")
    parts = np.split(directions[:, : sum(widths)].astype(np.float64), np.cumsum(widths)[:-1], axis=1)
    return [
        contributions(part, found.layers, require_maps(backbone), norm)
        for part, backbone, found, norm in zip(parts, backbones, outputs, norms, strict=True)
    ]


def load_inputs(backbones: Sequence[Backbone], content: bytes | None) -> Inputs | Embedding:
    """Return the input of each backbone, or an Embedding with the failure; an image is decoded once if it can be."""
    decoded: dict[int | None, Any] = {}
    try:
        for backbone in backbones:
            side = backbone.decode_side
            if side not in decoded:
                decoded[side] = decode(content or b"", max_pixels=backbone.max_pixels, min_side=side)
        pixels = tuple(backbone.preprocessing.apply(decoded[backbone.decode_side]) for backbone in backbones)
        return Inputs(pixels, *next(iter(decoded.values())).size)
    except ImageError as error:
        return Embedding(None, error.failure, error.detail)


def explain_batches(
    batches: Iterable[pa.RecordBatch],
    classes: Sequence[str],
    run: Callable[[Iterable[Item]], Iterator[Result]],
    count: Callable[[int], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield rows of BOXES_ARROW_SCHEMA for batches with the columns of Item; calls `count(done)` after each batch."""
    results = run(_iter_items(batches))
    while chunk := list(islice(results, 256)):
        rows = [_row(classes, *result) for result in chunk]
        if count:
            count(len(rows))
        yield pa.RecordBatch.from_pylist(rows, schema=BOXES_ARROW_SCHEMA)


def _row(classes: Sequence[str], item: Item, label: int, found: Attention | Embedding | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(BOXES_ARROW_SCHEMA.names)
    row |= {"content_hash": item.content_hash, "path": item.path, "label": classes[label]}
    if isinstance(found, Embedding):
        return row | {"label": None, "failure": found.failure, "failure_detail": found.detail}
    if found is None:
        return row | {"failure_detail": FLAT}
    return row | found.box._asdict() | {"peak_x": found.peak[0], "peak_y": found.peak[1]}


def _iter_items(batches: Iterable[pa.RecordBatch]) -> Iterator[Item]:
    for batch in batches:
        columns = [batch.column(batch.schema.get_field_index(name)) for name in Item._fields]
        for values in zip(*columns, strict=True):
            yield Item(*(value.as_py() for value in values))


def _load(read: ReadFn, item: Item) -> tuple[Item, Inputs | Embedding]:
    inputs = read(item.content)
    return item._replace(content=None), inputs
