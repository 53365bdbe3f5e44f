"""Read several views of an image, the whole image and crops, from one decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipelines.backbones.backbone import Backbone, Embedding, Pixels
from pipelines.errors import ImageError
from pipelines.images.crop import Box, crop_box
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing


class CroppedImage(NamedTuple):
    """The bytes of an image, and the box of each view; None for the whole image."""

    content: bytes | None
    boxes: Sequence[Box | None]


@dataclass(frozen=True)
class ViewReader:
    """A picklable function from a CroppedImage to the network's inputs, uint8 of shape (views, side, side, 3).

    A single view has the shape (side, side, 3). Crops are cut from the image at full resolution. With precision fast
    each view is decoded at the smallest scale that it needs, so that its features do not depend on the other views.
    """

    backbone: Backbone

    def __call__(self, image: CroppedImage) -> Pixels | Embedding:
        try:
            views = self.read(image, {})
        except ImageError as error:
            return Embedding(None, error.failure, error.detail)
        return views if len(views) > 1 else views[0]

    def read(self, image: CroppedImage, decoded: dict[int | None, Image.Image]) -> Pixels:
        """Return the views, uint8 of shape (views, side, side, 3). Raises ImageError.

        `decoded`: the image by `min_side` of `decode`; it is added to.
        """
        views = []
        for box in image.boxes:
            side = self._min_side(box)
            if side not in decoded:
                decoded[side] = decode(image.content or b"", max_pixels=self.backbone.max_pixels, min_side=side)
            whole = decoded[side]
            preprocessing = self._of_crops if box else self.backbone.preprocessing
            views.append(preprocessing.apply(crop_box(whole, box) if box else whole))
        return np.stack(views)

    @cached_property
    def _of_crops(self) -> Preprocessing:
        """Return the preprocessing of crops, which have no info bar."""
        return replace(self.backbone.preprocessing, crop_bottom=0.0)

    def _min_side(self, box: Box | None) -> int | None:
        """Return `min_side` of `decode`, such that a crop keeps as many pixels as a whole image; None: full scale."""
        if box is None or self.backbone.precision != "fast":
            return self.backbone.decode_side
        return math.ceil(self._of_crops.min_decode_side / min(box.width, box.height))
