"""Build the scene in front of each camera. A scene never changes; its light and its wind do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.demo.ground import draw_ground
from pipelines.demo.layers import CAMERA_HEIGHT, FOCAL, HEIGHT, WIDTH, Layers, Sprite
from pipelines.demo.noise import Floats, fractal_noise, smoothstep
from pipelines.demo.plants import Plant, draw_bush, draw_conifer, draw_trunk, draw_tuft, draw_twig, mix_with_straw
from pipelines.demo.rocks import draw_boulder
from pipelines.demo.sites import SITES, CameraSite, metres_at, row_at

DRIFT = 400  # pixels that the shade of leaves may move


@dataclass(frozen=True)
class PlacedSprite:
    """A sprite with its position in the image, the row of its foot and its distance."""

    sprite: Sprite
    left: int
    top: int
    foot: float
    metres: float
    plant: Plant | None = None  # set if it moves in the wind


@dataclass(frozen=True)
class Scene:
    """The drawn view of a site: the ground and hills, and all sprites on it from far to near."""

    site: CameraSite
    ground: Layers
    standing: list[PlacedSprite]
    hanging: list[PlacedSprite]
    dapples: Floats  # shade of leaves, larger than the image by DRIFT pixels


@lru_cache(maxsize=16)
def build_scene(camera: str) -> Scene:
    """Return the scene in front of a camera; cached per process."""
    site = next(site for site in SITES if site.camera == camera)
    rng = np.random.default_rng([site.seed, 4242])
    ground = draw_ground(site, rng)
    standing = [*_trees(site, rng), *_boulders(site, rng), *_bushes(site, rng), *_tufts(site, rng)]
    hanging = [_hang_twig(rng, site) for _ in range(site.twigs)]
    dapples = smoothstep(-0.12, 0.25, fractal_noise(rng, HEIGHT + DRIFT, WIDTH + DRIFT, 9, 3))
    return Scene(site, ground, sorted(standing, key=lambda item: item.foot), hanging, dapples)


def _choose_spot(
    site: CameraSite, rng: np.random.Generator, nearest: float, farthest: float
) -> tuple[float, float, float]:
    """Choose a spot on the ground, uniformly over the image's rows: column, row, and pixels per metre there."""
    row = rng.uniform(row_at(site, farthest), row_at(site, nearest))
    return rng.uniform(-20, WIDTH + 20), row, (row - site.horizon) / CAMERA_HEIGHT


def _place_plant(site: CameraSite, plant: Plant, column: float, row: float) -> PlacedSprite:
    left, top = round(column - plant.root[0]), round(row - plant.root[1])
    return PlacedSprite(plant.sprite, left, top, row, metres_at(site, row), plant if plant.flexibility else None)


def _tufts(site: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    sprites = []
    for _ in range(site.tufts):
        column, row, scale = _choose_spot(site, rng, 0.62, 7)
        colour = mix_with_straw(site.grass, rng.uniform(0, 0.6))
        plant = draw_tuft(rng, float(np.clip(scale * rng.uniform(0.10, 0.26), 9, 150)), colour)
        sprites.append(_place_plant(site, plant, column, row))
    return sprites


def _boulders(site: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    sprites = []
    for _ in range(site.boulders):
        column, row, scale = _choose_spot(site, rng, 1.0, 9)
        width = scale * rng.choice([0.14, 0.25, 0.42, 0.7], p=[0.4, 0.3, 0.2, 0.1]) * rng.uniform(0.8, 1.2)
        width = min(width, 230)
        tall = width * rng.uniform(0.5, 0.8)
        tint = np.array(site.rock) * rng.uniform(0.85, 1.12)
        sprite = draw_boulder(rng, width, tall, (float(tint[0]), float(tint[1]), float(tint[2])), rng.uniform(0, 0.7))
        foot = row - tall * 0.1
        sprites.append(PlacedSprite(sprite, round(column - width / 2), round(row - tall), foot, metres_at(site, row)))
        for _ in range(int(rng.integers(1, 4))):
            tuft = draw_tuft(
                rng,
                float(np.clip(width * rng.uniform(0.12, 0.3), 8, 60)),
                mix_with_straw(site.grass, rng.uniform(0, 0.6)),
            )
            sprites.append(_place_plant(site, tuft, column + rng.uniform(-0.5, 0.5) * width, foot + 1))
    return sprites


def _bushes(site: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    sprites = []
    for _ in range(site.bushes):
        column, row, scale = _choose_spot(site, rng, 2.2, 14)
        green = (0.20 * rng.uniform(0.8, 1.3), 0.27 * rng.uniform(0.85, 1.2), 0.14)
        plant = draw_bush(rng, float(np.clip(scale * rng.uniform(0.35, 0.7), 14, 130)), green)
        sprites.append(_place_plant(site, plant, column, row))
    return sprites


def _trees(site: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    sprites = []
    for _ in range(site.conifers):
        metres = rng.uniform(14, 45)
        row = row_at(site, metres)
        plant = draw_conifer(rng, FOCAL / metres * rng.uniform(4.5, 7), (0.15, 0.23, 0.13))
        sprites.append(_place_plant(site, plant, rng.uniform(-20, WIDTH + 20), row))
    for index in range(site.trunks):
        metres = rng.uniform(2.6, 6)
        column = (index + rng.uniform(0.1, 0.9)) * WIDTH / site.trunks
        row = row_at(site, metres)
        plant = draw_trunk(rng, FOCAL / metres * rng.uniform(0.2, 0.32), row + 6, (0.33, 0.26, 0.20))
        sprites.append(_place_plant(site, plant, column, row))
    return sprites


def _hang_twig(rng: np.random.Generator, site: CameraSite) -> PlacedSprite:
    """Hang a twig from the upper border."""
    length = rng.uniform(70, 150)
    plant = draw_twig(rng, length, (0.26, 0.36, 0.13))
    column = rng.choice([rng.uniform(-20, 150), rng.uniform(480, 640)])
    return PlacedSprite(plant.sprite, round(column - plant.root[0]), round(rng.uniform(-40, -5)), 0, 1.1, plant)
