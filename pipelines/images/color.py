"""From any of Pillow's modes to 8-bit RGB with the tones kept.

Pillow's own `convert("RGB")` clips 16-bit grey to white, shows the hidden colours of transparent pixels and
refuses LAB. Colour profiles (ICC) are not applied, as the backbones were not trained with them either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

# Transparent parts are shown on white, as a browser or a sheet of paper shows them.
BACKGROUND = (255, 255, 255)
_BITS = (8, 10, 12)  # depths of sensor data stored in 16 bits; 14 keeps enough tones as it is
_OVERSHOOT = 2.0  # floats of 0..1 that were resized or corrected pass 1 a little
_STRIP = 4_000_000  # pixels turned at a time: bounds the memory


def to_rgb(image: Image.Image) -> Image.Image:
    """Give the image in mode RGB; the same object where it is already.

    Grey of 16 bits is scaled from 0..65535, unless its brightest pixel stays within 12 bits: then from the
    smallest of 8, 10 and 12 bits that holds it, as sensors write it without saying so. Floats of 0..1
    (clipped where they pass it a little) and of 0..255 are taken as they are. Negative values and those
    above 65535 have no agreed range: they are scaled from the darkest to the brightest pixel.
    What is transparent is shown on white; an image without a single visible pixel is shown as if it
    had no transparency.
    """
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _grey(image).convert("RGB")
    if mode == "LAB":
        return _from_lab(image)
    if mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_background(image)
    return image if mode == "RGB" else image.convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    image = image.convert("LA") if image.mode == "La" else image
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    darkest, brightest = alpha.getextrema()
    if darkest == 255 or brightest == 0:
        return rgba.convert("RGB")
    ground = Image.new("RGB", rgba.size, BACKGROUND)
    ground.paste(rgba, mask=alpha)  # paste drops the alpha of an RGBA source
    return ground


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # loads the colour engine: only for the few who need it

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    assert turned is not None
    return turned


def _grey(image: Image.Image) -> Image.Image:
    """Turn the integer and float modes to mode L."""
    width, height = image.size
    rows = max(1, _STRIP // width)
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    is_inverted = _is_white_zero(image)
    extremes = [_extremes(_values(image, box)) for box in boxes]
    low, high = _range(min(low for low, _ in extremes), max(high for _, high in extremes), image.mode)
    turned = Image.new("L", image.size)
    for box in boxes:
        values = _values(image, box).astype(np.float64)
        tones = (np.clip(np.nan_to_num(values, nan=low), low, high) - low) * (255.0 / (high - low))
        tones = 255.0 - tones if is_inverted else tones
        turned.paste(Image.fromarray((tones + 0.5).astype(np.uint8)), box[:2])
    return turned


def _values(image: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    return np.asarray(image if box[2:] == image.size and box[1] == 0 else image.crop(box))


def _extremes(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _range(low: float, high: float, mode: str) -> tuple[float, float]:
    """Give the values that become black and white."""
    if low < 0 or high > 65535:
        return (low, high if high > low else low + 1.0)
    if mode == "F" and high <= _OVERSHOOT:
        return (0.0, 1.0)
    if mode == "F" and high <= 255:
        return (0.0, 255.0)
    return (0.0, next((2.0**bits - 1 for bits in _BITS if high < 2**bits), 65535.0))


def _is_white_zero(image: Image.Image) -> bool:
    """Tell TIFF's WhiteIsZero, which Pillow inverts for 8 bits and forgets for 16."""
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(262) == 0 and image.mode.startswith("I;16")
