"""Preprocess an upright RGB image to the square input of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipelines.images.crop import crop_pixels, cut_bottom
from pipelines.images.resize import Interpolation, ResizeFn, resize_image

_INTERPOLATIONS = ("bilinear", "bicubic")
_RESIZE_MODES = ("squash", "crop", "pad")
_MAX_ASPECT = 16  # a centre crop never needs more of a long strip than this many times its short side


@dataclass(frozen=True)
class Preprocessing:
    """The parameters that turn an image into size x size pixels and normalise it afterwards.

    `resize_mode`: squash (both sides to size), crop (shorter side to `resize`, then the centre; as torchvision's
    Resize and CenterCrop) or pad (the whole image on the mean colour). `crop_bottom`: fraction of the height removed
    first, where cameras print their info bar. `mean` and `std` are for values of 0..1; ImageNet's by default.
    """

    size: int = 224
    resize_mode: Literal["squash", "crop", "pad"] = "squash"
    resize: int = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop_bottom: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError with all invalid values."""
        faults = [*self._whole_number_faults(), *self._choice_faults(), *self._fraction_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        for name in ("mean", "std"):  # settings files contain lists; the hash needs tuples
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        object.__setattr__(self, "crop_bottom", float(self.crop_bottom))

    @property
    def name(self) -> str:
        """Return a short text that changes with every parameter that can change a feature."""
        crop_from = f"of{self.resize}" if self.resize_mode == "crop" else ""
        parts = [f"{self.resize_mode}{self.size}{crop_from}", self.interpolation]
        default = {field.name: field.default for field in fields(self)}
        for key in ("mean", "std"):
            if getattr(self, key) != default[key]:
                parts.append(key + ",".join(repr(value) for value in getattr(self, key)))
        if self.crop_bottom:
            parts.append(f"bottom{self.crop_bottom!r}")
        return "-".join(parts)

    def __str__(self) -> str:
        return self.name

    @property
    def min_decode_side(self) -> int:
        """Return the shorter side, in pixels, that a decoded image should keep: `min_side` of `decode`."""
        return math.ceil((self.resize if self.resize_mode == "crop" else self.size) / (1.0 - self.crop_bottom))

    def apply(self, image: Image.Image, resize: ResizeFn = resize_image) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the image as uint8 of shape (size, size, 3). Takes mode RGB, as `decode` returns it."""
        if image.mode != "RGB":
            raise ValueError(f"the image has mode {image.mode}, RGB was expected: read it with decode")
        image = cut_bottom(image, self.crop_bottom)
        resized = {"squash": self._squash, "crop": self._crop, "pad": self._pad}[self.resize_mode](image, resize)
        return np.array(resized, dtype=np.uint8)

    def _squash(self, image: Image.Image, resize: ResizeFn) -> Image.Image:
        return resize(image, self.size, self.size, self.interpolation)

    def _crop(self, image: Image.Image, resize: ResizeFn) -> Image.Image:
        image = _trim_long_side(image)
        width, height = image.size
        long = int(self.resize * max(width, height) / min(width, height))  # rounds down, as torchvision does
        width, height = (self.resize, long) if width <= height else (long, self.resize)
        image = resize(image, width, height, self.interpolation)
        left, top = round((width - self.size) / 2.0), round((height - self.size) / 2.0)
        return image.crop((left, top, left + self.size, top + self.size))

    def _pad(self, image: Image.Image, resize: ResizeFn) -> Image.Image:
        ratio = self.size / max(image.size)
        width, height = (max(1, round(side * ratio)) for side in image.size)
        red, green, blue = (round(255 * value) for value in self.mean)
        canvas = Image.new("RGB", (self.size, self.size), (red, green, blue))
        left, top = (self.size - width) // 2, (self.size - height) // 2
        canvas.paste(resize(image, width, height, self.interpolation), (left, top))
        return canvas

    def _whole_number_faults(self) -> list[str]:
        faults = [
            f"{name} is {value!r}: a whole number from 1 to 4096 was expected"
            for name, value in (("size", self.size), ("resize", self.resize))
            if not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 4096)
        ]
        if not faults and self.resize_mode == "crop" and self.size > self.resize:
            faults.append(f"size {self.size} does not fit into resize {self.resize}: raise resize")
        return faults

    def _choice_faults(self) -> list[str]:
        choices = (
            ("resize_mode", self.resize_mode, _RESIZE_MODES),
            ("interpolation", self.interpolation, _INTERPOLATIONS),
        )
        return [
            f"{name} is {value!r}: expected one of {', '.join(allowed)}"
            for name, value, allowed in choices
            if value not in allowed
        ]

    def _fraction_faults(self) -> list[str]:
        faults = [
            f"{name} is {value!r}: three numbers, each {'0' if low else 'above 0'} to 1, were expected"
            for name, value, low in (("mean", self.mean, True), ("std", self.std, False))
            if not _are_three_fractions(value, with_zero=low)
        ]
        if not _is_number(self.crop_bottom) or not 0 <= self.crop_bottom < 1:
            faults.append(
                f"crop_bottom is {self.crop_bottom!r}: a fraction of the height from 0 to below 1 was expected"
            )
        return faults


def _trim_long_side(image: Image.Image) -> Image.Image:
    """Crop the ends of a long strip, which a centre crop discards, before they are enlarged to gigabytes."""
    width, height = image.size
    limit = _MAX_ASPECT * min(width, height)
    if max(width, height) <= limit:
        return image
    left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
    return crop_pixels(image, left, top, min(width, limit), min(height, limit))


def _are_three_fractions(values: Any, *, with_zero: bool) -> bool:
    if not isinstance(values, (tuple, list)) or len(values) != 3:
        return False
    return all(_is_number(value) and 0 <= value <= 1 and (value > 0 or with_zero) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
