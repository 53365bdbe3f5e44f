"""Decode an image for the networks of a served model. Child processes import this, so it imports no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from pipelines.backbones import Backbone
from pipelines.backbones.backbone import Pixels
from pipelines.images.decode import decode


@dataclass(frozen=True)
class PixelReader:
    """A picklable function from the bytes of an image to the input of each backbone, uint8 of shape (side, side, 3).

    Raises ImageError. An image is decoded once for all backbones that take it at the same scale.
    """

    backbones: Sequence[Backbone]
    max_bytes: int

    def __call__(self, content: bytes) -> list[Pixels]:
        decoded: dict[int | None, Image.Image] = {}
        for backbone in self.backbones:
            if (side := backbone.decode_side) not in decoded:
                decoded[side] = decode(content, max_pixels=backbone.max_pixels, max_bytes=self.max_bytes, min_side=side)
        return [backbone.preprocessing.apply(decoded[backbone.decode_side]) for backbone in self.backbones]
