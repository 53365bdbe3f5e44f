"""Convert any Pillow mode to 8-bit RGB without losing tones.

Pillow's own `convert("RGB")` clips 16-bit grey to white, shows the hidden colours of transparent pixels and
rejects LAB. Colour profiles (ICC) are not applied, as the backbones were not trained with them either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

# Transparent pixels are composited on white, as browsers show them.
BACKGROUND = (255, 255, 255)
_BITS = (8, 10, 12)  # depths of sensor data stored in 16 bits; 14 bits keep enough tones without scaling
_OVERSHOOT = 2.0  # floats of 0..1 that were resized or corrected exceed 1 a little
_STRIP_PIXELS = 4_000_000  # converted at a time, to bound the memory


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB; the same object if it already is.

    16-bit grey is scaled from 0..65535, unless its brightest pixel fits into 12 bits: then from the smallest
    of 8, 10 and 12 bits that holds it, as sensors store it without recording the depth. Floats of 0..1 (clipped
    where they slightly exceed it) and of 0..255 keep that range. Negative values and those above 65535 have no
    standard range: they are scaled from the darkest to the brightest pixel. Transparent pixels are composited on
    white; an image without a single visible pixel is converted as if it were opaque.
    """
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _scale_grey(image).convert("RGB")
    if mode == "LAB":
        return _convert_lab(image)
    if mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _composite_on_background(image)
    return image if mode == "RGB" else image.convert("RGB")


def _composite_on_background(image: Image.Image) -> Image.Image:
    image = image.convert("LA") if image.mode == "La" else image
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    darkest, brightest = alpha.getextrema()
    if darkest == 255 or brightest == 0:
        return rgba.convert("RGB")
    background = Image.new("RGB", rgba.size, BACKGROUND)
    background.paste(rgba, mask=alpha)  # paste drops the alpha of an RGBA source
    return background


def _convert_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # loads the colour engine, which few images need

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    assert converted is not None
    return converted


def _scale_grey(image: Image.Image) -> Image.Image:
    """Convert the integer and float modes to mode L."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    is_inverted = _is_white_zero(image)
    extremes = [_find_extremes(_read_values(image, box)) for box in boxes]
    low, high = _choose_range(min(low for low, _ in extremes), max(high for _, high in extremes), image.mode)
    grey = Image.new("L", image.size)
    for box in boxes:
        values = _read_values(image, box).astype(np.float64)
        tones = (np.clip(np.nan_to_num(values, nan=low), low, high) - low) * (255.0 / (high - low))
        tones = 255.0 - tones if is_inverted else tones
        grey.paste(Image.fromarray((tones + 0.5).astype(np.uint8)), box[:2])
    return grey


def _read_values(image: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    return np.asarray(image if box[2:] == image.size and box[1] == 0 else image.crop(box))


def _find_extremes(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _choose_range(low: float, high: float, mode: str) -> tuple[float, float]:
    """Return the values that become black and white."""
    if low < 0 or high > 65535:
        return (low, high if high > low else low + 1.0)
    if mode == "F" and high <= _OVERSHOOT:
        return (0.0, 1.0)
    if mode == "F" and high <= 255:
        return (0.0, 255.0)
    return (0.0, next((2.0**bits - 1 for bits in _BITS if high < 2**bits), 65535.0))


def _is_white_zero(image: Image.Image) -> bool:
    """Return whether a TIFF is WhiteIsZero with 16 bits, which Pillow does not invert as it does 8 bits."""
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(262) == 0 and image.mode.startswith("I;16")
