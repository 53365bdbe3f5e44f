"""The info bar that a camera prints at the bottom of an image: name, date, time, temperature and moon phase."""

from __future__ import annotations

import datetime as dt
import math
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw

BAR = 26  # pixels
NEW_MOON = dt.datetime(2000, 1, 6, 18, 14)
LUNATION = 29.530588  # days
# Columns of a 5 x 7 dot matrix, lowest bit on top; info bars use no other characters.
_GLYPHS = {
    "0": "3e5149453e", "1": "00427f4000", "2": "4261514946", "3": "2141454b31", "4": "1814127f10",
    "5": "2745454539", "6": "3c4a494930", "7": "0171090503", "8": "3649494936", "9": "064949291e",
    "A": "7e1111117e", "B": "7f49494936", "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941",
    "F": "7f09090901", "G": "3e4149497a", "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01",
    "K": "7f08142241", "L": "7f40404040", "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e",
    "P": "7f09090906", "Q": "3e4151215e", "R": "7f09192946", "S": "4649494931", "T": "01017f0101",
    "U": "3f4040403f", "V": "1f2040201f", "W": "3f4038403f", "X": "6314081463", "Y": "0708700807",
    "Z": "6151494543", "-": "0808080808", ":": "0036360000", "/": "2010080402", ".": "0060600000",
    "+": "08083e0808", "°": "0006090906", " ": "0000000000",
}  # fmt: skip


@lru_cache(maxsize=64)
def _draw_glyph(character: str, scale: int) -> Image.Image:
    columns = bytes.fromhex(_GLYPHS[character])
    image = Image.new("L", (6, 7))
    for x, bits in enumerate(columns):
        for y in range(7):
            if bits >> y & 1:
                image.putpixel((x, y), 255)
    return image.resize((6 * scale, 7 * scale), Image.Resampling.NEAREST)


def _draw_text(draw: Image.Image, at: tuple[int, int], text: str, ink: tuple[int, int, int], scale: int = 2) -> int:
    """Draw text in a dot-matrix font, and return the column after the last character."""
    x, y = at
    for character in text:
        glyph = _draw_glyph(character, scale)
        draw.paste(ink, (x, y, x + glyph.width, y + glyph.height), glyph)
        x += glyph.width
    return x


def moon_age(moment: dt.datetime) -> float:
    """Return the age of the moon as a fraction of the lunar month: 0 new, .5 full."""
    return (moment - NEW_MOON).total_seconds() / 86400 / LUNATION % 1


@lru_cache(maxsize=64)
def _draw_moon(age: float, size: int) -> Image.Image:
    """Draw the lit part of the moon: a half disc, plus or minus half an ellipse."""
    big = size * 4
    disc = Image.new("L", (big, big))
    ImageDraw.Draw(disc).ellipse((2, 2, big - 3, big - 3), fill=255)
    half = Image.new("L", (big, big))
    ImageDraw.Draw(half).rectangle((big // 2 if age < 0.5 else 0, 0, big if age < 0.5 else big // 2, big), fill=255)
    waist = math.cos(2 * math.pi * age)
    reach = abs(waist) * (big / 2 - 2)
    middle = Image.new("L", (big, big))
    ImageDraw.Draw(middle).ellipse((big / 2 - reach, 2, big / 2 + reach, big - 3), fill=255)
    lit = ImageChops.subtract(half, middle) if waist > 0 else ImageChops.lighter(half, middle)
    return ImageChops.multiply(disc, lit).resize((size, size), Image.Resampling.BOX)


def draw_info_bar(image: Image.Image, camera: str, moment: dt.datetime, celsius: int, style: int) -> None:
    """Draw the info bar at the bottom of `image`, in place; style 0 is white on black, 1 yellow on blue."""
    width, height = image.size
    ink, bar = ((235, 235, 235), (0, 0, 0)) if style == 0 else ((255, 214, 90), (24, 30, 44))
    image.paste(bar, (0, height - BAR, width, height))
    y = height - BAR + 6
    end = _draw_text(image, (10, y), f"{moment:%Y-%m-%d  %H:%M:%S}", ink)
    end = _draw_text(image, (end + 30, y), f"{celsius}°C {round(celsius * 1.8 + 32)}°F", ink)
    moon = _draw_moon(round(moon_age(moment) * 60) / 60, 18)
    rim = Image.new("L", (18, 18))
    ImageDraw.Draw(rim).ellipse((0, 0, 17, 17), outline=120)
    lit = ImageChops.lighter(moon, rim)
    image.paste(ink, (end + 28, y - 2, end + 46, y + 16), lit)
    _draw_text(image, (width - 12 * len(camera) - 8, y), camera, ink)
