"""From an upright RGB image to the square that a network takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipelines.images.resize import Interpolation, ResizeFn, resize_image

_INTERPOLATIONS = ("bilinear", "bicubic")
_FITS = ("squash", "crop", "pad")
_LONGEST = 16  # of a strip's long side only this many times the short one reaches a centre crop


@dataclass(frozen=True)
class Preprocessing:
    """Say how an image becomes size x size pixels, and with which numbers it is normalised afterwards.

    `resize_mode`: squash (both sides to size), crop (shorter side to `resize`, then the centre; as torchvision's
    Resize and CenterCrop) or pad (all of it, on the mean colour). `crop_bottom`: share of the height
    cut off first, where cameras burn their stamps. `mean` and `std` are those of 0..1; ImageNet's by default.
    """

    size: int = 224
    resize_mode: Literal["squash", "crop", "pad"] = "squash"
    resize: int = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop_bottom: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError with all that does not fit."""
        faults = [*self._whole_number_faults(), *self._choice_faults(), *self._share_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        for name in ("mean", "std"):  # lists come from files of settings; the hash needs tuples
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        object.__setattr__(self, "crop_bottom", float(self.crop_bottom))

    @property
    def name(self) -> str:
        """Give a short text that changes with every number that can change a feature."""
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
        """Give the shorter side, in pixels, that a decoded image should keep: a hint for `decode`."""
        return math.ceil((self.resize if self.resize_mode == "crop" else self.size) / (1.0 - self.crop_bottom))

    def apply(self, image: Image.Image, scale: ResizeFn = resize_image) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Give the image as uint8 of shape (size, size, 3). Takes mode RGB, as `decode` gives it."""
        if image.mode != "RGB":
            raise ValueError(f"the image has mode {image.mode}, RGB was expected: read it with decode")
        if self.crop_bottom:
            kept = max(1, image.height - round(image.height * self.crop_bottom))
            image = _cut(image, 0, 0, image.width, kept)
        fitted = {"squash": self._squash, "crop": self._crop, "pad": self._pad}[self.resize_mode](image, scale)
        return np.array(fitted, dtype=np.uint8)

    def _squash(self, image: Image.Image, scale: ResizeFn) -> Image.Image:
        return scale(image, self.size, self.size, self.interpolation)

    def _crop(self, image: Image.Image, scale: ResizeFn) -> Image.Image:
        image = _without_far_ends(image)
        width, height = image.size
        long = int(self.resize * max(width, height) / min(width, height))  # rounds down, as torchvision does
        width, height = (self.resize, long) if width <= height else (long, self.resize)
        image = scale(image, width, height, self.interpolation)
        left, top = round((width - self.size) / 2.0), round((height - self.size) / 2.0)
        return image.crop((left, top, left + self.size, top + self.size))

    def _pad(self, image: Image.Image, scale: ResizeFn) -> Image.Image:
        ratio = self.size / max(image.size)
        width, height = (max(1, round(side * ratio)) for side in image.size)
        red, green, blue = (round(255 * value) for value in self.mean)
        ground = Image.new("RGB", (self.size, self.size), (red, green, blue))
        left, top = (self.size - width) // 2, (self.size - height) // 2
        ground.paste(scale(image, width, height, self.interpolation), (left, top))
        return ground

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
        choices = (("resize_mode", self.resize_mode, _FITS), ("interpolation", self.interpolation, _INTERPOLATIONS))
        return [
            f"{name} is {value!r}: expected one of {', '.join(allowed)}"
            for name, value, allowed in choices
            if value not in allowed
        ]

    def _share_faults(self) -> list[str]:
        faults = [
            f"{name} is {value!r}: three numbers, each {'0' if low else 'above 0'} to 1, were expected"
            for name, value, low in (("mean", self.mean, True), ("std", self.std, False))
            if not _are_three_shares(value, with_zero=low)
        ]
        if not _is_number(self.crop_bottom) or not 0 <= self.crop_bottom < 1:
            faults.append(f"crop_bottom is {self.crop_bottom!r}: a share of the height from 0 to below 1 was expected")
        return faults


def _without_far_ends(image: Image.Image) -> Image.Image:
    """Cut a strip's far ends, which a centre crop never shows, before they are enlarged by the gigabyte."""
    width, height = image.size
    most = _LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return _cut(image, left, top, min(width, most), min(height, most))


def _cut(image: Image.Image, left: int, top: int, width: int, height: int) -> Image.Image:
    """Crop, without the warning and the error of `Image.crop` above the process-wide limit on pixels."""
    part = Image.new("RGB", (width, height))
    part.paste(image, (-left, -top))
    return part


def _are_three_shares(values: Any, *, with_zero: bool) -> bool:
    if not isinstance(values, (tuple, list)) or len(values) != 3:
        return False
    return all(_is_number(value) and 0 <= value <= 1 and (value > 0 or with_zero) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
