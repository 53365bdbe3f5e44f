"""Light and air: compute the light that reaches the lens from layers, by day and by infrared flash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.demo.layers import HEIGHT, WIDTH, Layers, depth_metres
from pipelines.demo.noise import Floats, fractal_noise, smoothstep

STRIP = 40  # rows processed at a time, which fit into the processor's cache
_COSINES = np.arange(256, dtype=np.float32) / 255
_LINEAR = ((np.arange(256) / 255) ** 1.7).astype(np.float32)  # sprites are painted as they look on a screen


@dataclass(frozen=True)
class Conditions:
    """The weather and the state of the camera during one encounter."""

    hour: float  # local time
    night: bool  # infrared flash
    cloud: float  # 0 clear .. 1 overcast
    fog: float  # extinction per metre
    snowing: bool
    wind: float  # 0 calm .. 1 gusts
    exposure: float  # factor
    balance: tuple[float, float, float]  # gains of red, green, blue
    noise: float  # deviation, of 1
    focus: float  # blur, pixels


@dataclass(frozen=True)
class Sun:
    """The direction of the sun, and the colours of its light and of the sky."""

    direction: tuple[float, float, float]
    colour: Floats
    sky: Floats


def strips() -> Iterator[slice]:
    """Yield the rows of the image in strips."""
    return (slice(top, top + STRIP) for top in range(0, HEIGHT, STRIP))


def compute_sun(conditions: Conditions, azimuth: float) -> Sun:
    """Return direction and colours of sun and sky at the hour; the sun is warm and low at both ends of the day."""
    day = np.clip((conditions.hour - 5.3) / 14.2, 0.02, 0.98)
    height = float(np.sin(np.pi * day))
    direction = np.array([np.cos(np.pi * day + azimuth), 0.22 + 0.9 * height, 0.45])
    x, y, z = (direction / np.linalg.norm(direction)).tolist()
    low = np.float32(np.exp(-3.2 * height))
    clear = np.float32(1 - conditions.cloud)
    warm = np.array([1.0, 0.95 - 0.34 * low, 0.86 - 0.62 * low], np.float32)
    strength = (0.40 + 0.75 * height) * (1 - 0.92 * conditions.cloud)
    blue, grey = np.array([0.60, 0.74, 0.98], np.float32), np.array([0.80, 0.82, 0.84], np.float32)
    sky = (grey + (blue - grey) * clear) * np.float32(0.30 + 0.28 * height + 0.22 * conditions.cloud)
    rose = np.array([0.15, 0.03, -0.02], np.float32) * low * clear
    return Sun((x, y, z), warm * np.float32(1.35 * strength), sky + rose)


def shade_daylight(
    layers: Layers, conditions: Conditions, shade: Floats, azimuth: float, rng: np.random.Generator
) -> Floats:
    """Light the layers by sun and sky; `shade` (height, width) is 1 in the sun and 0 in shadow."""
    sun = compute_sun(conditions, azimuth)
    direct, above = _compute_cosines(layers, sun.direction), _compute_cosines(layers, (0, 1, 0))
    colour, codes = np.asarray(layers.colour), np.asarray(layers.depth)
    veil = (1 - np.exp(-(0.0006 + conditions.fog) * depth_metres())).astype(np.float32)
    glow = sun.sky * np.float32(0.95) + sun.colour * np.float32(0.12)
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    for rows in strips():
        sunlit = _COSINES[direct[rows]] * shade[rows]
        skylit = np.float32(0.62) + np.float32(0.38) * _COSINES[above[rows]]
        air = veil.take(codes[rows])
        clear = 1 - air
        for channel in range(3):
            light = sunlit * sun.colour[channel] + skylit * sun.sky[channel]
            light *= _LINEAR.take(colour[rows, :, channel])
            image[rows, :, channel] = light * clear + air * glow[channel]
    _add_sky(image, codes, conditions, sun, rng)
    return image


def _compute_cosines(layers: Layers, direction: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Return the cosine between the normals and a direction times 255; 0 for surfaces that face away."""
    x, y, z = (2 * float(value) for value in direction)
    return np.asarray(layers.normals.convert("L", (x, y, z, -128 * (x + y + z))))


def _add_sky(
    image: Floats, codes: NDArray[np.uint8], conditions: Conditions, sun: Sun, rng: np.random.Generator
) -> None:
    """Paint sky and clouds where there is nothing solid."""
    rows = int(np.flatnonzero((codes > 200).any(axis=1)).max(initial=0)) + 1
    weight = np.clip((codes[:rows].astype(np.float32) - 199) / 56, 0, 1)
    height = np.linspace(1, 0, rows, dtype=np.float32)[:, None]
    drift = rng.integers(0, WIDTH)
    puffs = _puffs()[:rows, drift : drift + WIDTH] + 0.12 * (1 - height)
    clouds = 0.85 * smoothstep(0.22 - 0.5 * conditions.cloud, 0.55 - 0.3 * conditions.cloud, puffs)
    zenith, rim = sun.sky * np.array([0.80, 1.0, 1.28], np.float32), sun.sky * 1.25 + sun.colour * 0.22
    white = sun.sky * 1.3 + sun.colour * 0.3
    for channel in range(3):
        sky = rim[channel] + height * (zenith[channel] - rim[channel])
        sky = sky + clouds * (white[channel] - sky)
        image[:rows, :, channel] += weight * (sky - image[:rows, :, channel])


@lru_cache(maxsize=1)
def _puffs() -> Floats:
    """Return a band of clouds twice as wide as an image."""
    return fractal_noise(np.random.default_rng(98), HEIGHT, 2 * WIDTH, 8, 5)


def shade_infrared(layers: Layers, conditions: Conditions) -> Floats:
    """Light the layers by the camera's infrared flash: one channel, bright nearby, black far away."""
    facing = _compute_cosines(layers, (0.0, 0.12, 0.99))
    grey = np.asarray(layers.colour.convert("L", (0.55, 0.40, 0.05, 0)))
    codes, metres = np.asarray(layers.depth), depth_metres()
    reach = (5.5 / (0.9 + metres) ** 1.75 * np.exp(-conditions.fog * 2 * metres)).astype(np.float32)
    reach[200:] = 0.0
    haze = 0.35 * (0.02 + 0.5 * (1 - np.exp(-conditions.fog * 3 * np.minimum(metres, 12)))).astype(np.float32)
    image = np.empty((HEIGHT, WIDTH, 1), np.float32)
    for rows in strips():
        light = reach[codes[rows]] * (np.float32(0.45) + np.float32(0.55) * _COSINES[facing[rows]])
        light *= _LINEAR.take(grey[rows])
        image[rows, :, 0] = (light + haze[codes[rows]]) * _beam()[rows]
    return image


@lru_cache(maxsize=1)
def _beam() -> Floats:
    """Return the brightness of the flash: full in the centre, a third in the corners."""
    down = np.linspace(-0.9, 0.9, HEIGHT, dtype=np.float32)[:, None]
    across = np.linspace(-1.1, 1.1, WIDTH, dtype=np.float32)[None, :]
    return 0.22 + 0.78 * np.exp(-0.9 * (across**2 + (down - 0.1) ** 2))


def dapple(patches: Floats, strength: float, drift: tuple[int, int]) -> Floats:
    """Return the shade of leaves, a window of `patches`: 1 in the sun, less in moving patches."""
    across, down = drift
    return 1 - np.float32(strength) * patches[down : down + HEIGHT, across : across + WIDTH]
