"""Explain images on the executors: compressed bytes in, boxes out.

Workers import no Spark, no pandas and no settings for this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np

from pipelines.backbones import Backbone, Embedding
from pipelines.backbones.backbone import Pixels, catch_image_errors
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.views import CroppedImage, ViewReader
from pipelines.engines.map_engine import MapEngine, MappedFeatures, require_consistent, require_maps
from pipelines.errors import ImageError
from pipelines.explanation.boxes import Attention, locate
from pipelines.explanation.canvas import GRID, PlacedMap, add_maps, union
from pipelines.explanation.contributions import Contributions, contributions
from pipelines.explanation.geometry import map_cells, mirror, to_image, view_region
from pipelines.images.crop import Box
from pipelines.prefetch import prefetch_map

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Inputs(NamedTuple):
    """The input of each backbone, shape (1 + crops, side, side, 3), and the size of the upright image."""

    pixels: tuple[Pixels, ...]
    width: int
    height: int


ReadFn = Callable[[CroppedImage], "Inputs | Embedding"]

Result = tuple["Item", int, "Attention | Embedding | None"]  # the index of the explained class, and where it is seen


class Item(NamedTuple):
    """An image to explain, with its probabilities in the order of the classes.

    `boxes`: of each view but the whole image: x, y, width, height of the crop; None where it shows the whole image.
    """

    content_hash: str
    path: str
    scores: Sequence[float]
    boxes: Sequence[Sequence[float] | None]
    content: bytes | None

    @property
    def crops(self) -> list[Box | None]:
        """Return the crop of each view, the whole image first."""
        return [None, *(Box(*box) if box else None for box in self.boxes)]


@dataclass(frozen=True)
class Explainer:
    """What a worker needs beside the engines: how each class differs from the others, by feature.

    `directions`: shape (k, d), the contrast of each class (`LinearHead.contrasts`), on the features of all backbones
    for the whole image, then of all for each of `views`, keys of the table regions. `explained`: the indices of the
    classes that may be explained, all but blank. `method`: as in the table boxes. `average_flip`: whether logits are
    those of the image and of its flipped copy, averaged.
    """

    backbones: tuple[Backbone, ...]
    classes: tuple[str, ...]
    explained: tuple[int, ...]
    directions: np.ndarray[Any, np.dtype[np.float32]]
    method: str
    average_flip: bool = False
    views: tuple[str, ...] = ()

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
                        require_consistent(engine.compute_maps(pixels[:1]), backbone, engine.norm)
                    is_first = False
                attention = iter(self._attention(readable, engines) if readable else ())
                for item, inputs in chunk:
                    found = next(attention) if isinstance(inputs, Inputs) else inputs
                    yield item, self.choose(item.scores), found

    def _attention(
        self, images: Sequence[tuple[Item, Inputs]], engines: Sequence[MapEngine]
    ) -> Iterator[Attention | None]:
        canvases = [union([region for view in self._regions(*image) for region in view]) for image in images]
        totals = self.sum_maps(images, engines, canvases)
        for canvas, values in zip(canvases, totals, strict=True):
            found = locate(values)
            yield to_image(found, canvas) if found else None

    def sum_maps(
        self, images: Sequence[tuple[Item, Inputs]], engines: Sequence[MapEngine], canvases: Sequence[Box]
    ) -> list[Floats]:
        """Return for each image the sum of all its contribution maps, on a grid over its canvas."""
        totals = self._sum_maps(images, engines, canvases, flip=False)
        if not self.average_flip:  # cells of the flipped image lie between those of the image
            return totals
        flipped = self._sum_maps(images, engines, canvases, flip=True)
        return [(total + other[:, ::-1]) / 2 for total, other in zip(totals, flipped, strict=True)]

    def _sum_maps(
        self, images: Sequence[tuple[Item, Inputs]], engines: Sequence[MapEngine], canvases: Sequence[Box], flip: bool
    ) -> list[Floats]:
        pixels = [np.concatenate(views) for views in zip(*(inputs.pixels for _, inputs in images), strict=True)]
        if flip:
            pixels = [np.ascontiguousarray(views[:, :, ::-1]) for views in pixels]
        outputs = [engine.compute_maps(views) for engine, views in zip(engines, pixels, strict=True)]
        directions = self.directions[[self.choose(item.scores) for item, _ in images]]
        rows = find_rows([item.crops for item, _ in images])
        parts = split_contributions(directions, self.backbones, outputs, [engine.norm for engine in engines], rows)
        totals = []
        for i, (image, canvas) in enumerate(zip(images, canvases, strict=True)):
            maps = [
                PlacedMap(values[i], map_cells(*grid, backbone.preprocessing), mirror(region) if flip else region)
                for view, regions in zip(parts, self._regions(*image), strict=True)
                for found, backbone, region in zip(view, self.backbones, regions, strict=True)
                for values, grid in zip(found.maps, get_architecture(backbone.name).map_grids, strict=True)
            ]
            totals.append(add_maps(maps, mirror(canvas) if flip else canvas, 2 * GRID if self.views else GRID))
        return totals

    def _regions(self, item: Item, inputs: Inputs) -> list[list[Box]]:
        """Return for each view the part of the image that is the input of each backbone."""
        size = inputs.width, inputs.height
        return [[view_region(each.preprocessing, *size, box) for each in self.backbones] for box in item.crops]


def find_rows(crops: Sequence[Sequence[Box | None]]) -> list[list[int]]:
    """Return for each view the row of each image among the inputs of all images: the whole image, then its crops.

    A view without a crop has the row of the whole image.
    """
    rows, start = [], 0
    for boxes in crops:
        crop = count(start + 1)
        rows.append([next(crop) if box else start for box in boxes])
        start = next(crop)
    return [list(view) for view in zip(*rows, strict=True)]


def split_contributions(
    directions: Any,
    backbones: Sequence[Backbone],
    outputs: Sequence[MappedFeatures],
    norms: Sequence[Any],
    rows: Sequence[Sequence[int]],
) -> list[list[Contributions]]:
    """Return for each view the contributions of each backbone to the logits of n images.

    `directions` (n, d) are on the concatenated features of all backbones for each view. `rows`: for each view the n
    rows of the images in `outputs`.
    """
    widths = [found.features.shape[1] for found in outputs]
    if directions.shape[1] != sum(widths) * len(rows):
        raise ValueError(
            f"the classifier has {directions.shape[1]} weights, the backbones {sum(widths)} features for each of "
            f"{len(rows)} views"
        )
    parts = iter(np.split(directions.astype(np.float64), np.cumsum(widths * len(rows))[:-1], axis=1))
    return [
        [
            contributions(next(parts), [layer[view] for layer in found.layers], require_maps(backbone), norm)
            for backbone, found, norm in zip(backbones, outputs, norms, strict=True)
        ]
        for view in rows
    ]


def load_inputs(backbones: Sequence[Backbone], image: CroppedImage) -> Inputs | Embedding:
    """Return the inputs of each backbone, or an Embedding with the failure; an image is decoded once if it can be."""
    decoded: dict[int | None, Any] = {}
    try:
        pixels = tuple(ViewReader(backbone).read(image, decoded) for backbone in backbones)
        return Inputs(pixels, *next(iter(decoded.values())).size)
    except ImageError as error:
        return Embedding(None, error.failure, error.detail)


def _load(read: ReadFn, item: Item) -> tuple[Item, Inputs | Embedding]:
    crops = [box for i, box in enumerate(item.crops) if box or i == 0]
    inputs = read(CroppedImage(item.content, crops))
    return item._replace(content=None), inputs
