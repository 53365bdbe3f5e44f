"""What stands in front of each camera. A scene never changes; its light and its wind do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.demo.ground import draw_ground
from pipelines.demo.layers import CAMERA_HEIGHT, FOCAL, HEIGHT, WIDTH, Layers, Sprite
from pipelines.demo.noise import Floats, fractal_noise, smoothstep
from pipelines.demo.plants import Plant, draw_bush, draw_conifer, draw_trunk, draw_tuft, draw_twig, greyed
from pipelines.demo.rocks import draw_boulder
from pipelines.demo.sites import SITES, CameraSite, metres_at, row_at

DRIFT = 400  # pixels that the shade of leaves may move


@dataclass(frozen=True)
class PlacedSprite:
    """A thing that stands on the ground: its sprite, where it goes, and the row of its foot."""

    sprite: Sprite
    left: int
    top: int
    foot: float
    metres: float
    plant: Plant | None = None  # set: it moves in the wind


@dataclass(frozen=True)
class Scene:
    """A place, drawn: the ground and hills, and everything that stands on it from far to near."""

    place: CameraSite
    ground: Layers
    standing: list[PlacedSprite]
    hanging: list[PlacedSprite]
    dapples: Floats  # shade of leaves, larger than the image by DRIFT pixels


@lru_cache(maxsize=16)
def build_scene(camera: str) -> Scene:
    """Give the scene in front of a camera; drawn once per process."""
    place = next(place for place in SITES if place.camera == camera)
    rng = np.random.default_rng([place.seed, 4242])
    ground = draw_ground(place, rng)
    standing = [*_trees(place, rng), *_boulders(place, rng), *_bushes(place, rng), *_tufts(place, rng)]
    hanging = [_hung(rng, place) for _ in range(place.twigs)]
    dapples = smoothstep(-0.12, 0.25, fractal_noise(rng, HEIGHT + DRIFT, WIDTH + DRIFT, 9, 3))
    return Scene(place, ground, sorted(standing, key=lambda thing: thing.foot), hanging, dapples)


def _spread(place: CameraSite, rng: np.random.Generator, nearest: float, farthest: float) -> tuple[float, float, float]:
    """Choose a place on the ground: column, row, and pixels per metre there; evenly over the image's rows."""
    row = rng.uniform(row_at(place, farthest), row_at(place, nearest))
    return rng.uniform(-20, WIDTH + 20), row, (row - place.horizon) / CAMERA_HEIGHT


def _stand(place: CameraSite, plant: Plant, column: float, row: float) -> PlacedSprite:
    left, top = round(column - plant.root[0]), round(row - plant.root[1])
    return PlacedSprite(plant.sprite, left, top, row, metres_at(place, row), plant if plant.give else None)


def _tufts(place: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    things = []
    for _ in range(place.tufts):
        column, row, scale = _spread(place, rng, 0.62, 7)
        colour = greyed(place.grass, rng.uniform(0, 0.6))
        plant = draw_tuft(rng, float(np.clip(scale * rng.uniform(0.10, 0.26), 9, 150)), colour)
        things.append(_stand(place, plant, column, row))
    return things


def _boulders(place: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    things = []
    for _ in range(place.boulders):
        column, row, scale = _spread(place, rng, 1.0, 9)
        width = scale * rng.choice([0.14, 0.25, 0.42, 0.7], p=[0.4, 0.3, 0.2, 0.1]) * rng.uniform(0.8, 1.2)
        width = min(width, 230)
        tall = width * rng.uniform(0.5, 0.8)
        tint = np.array(place.rock) * rng.uniform(0.85, 1.12)
        sprite = draw_boulder(rng, width, tall, (float(tint[0]), float(tint[1]), float(tint[2])), rng.uniform(0, 0.7))
        foot = row - tall * 0.1
        things.append(PlacedSprite(sprite, round(column - width / 2), round(row - tall), foot, metres_at(place, row)))
        for _ in range(int(rng.integers(1, 4))):
            tuft = draw_tuft(
                rng, float(np.clip(width * rng.uniform(0.12, 0.3), 8, 60)), greyed(place.grass, rng.uniform(0, 0.6))
            )
            things.append(_stand(place, tuft, column + rng.uniform(-0.5, 0.5) * width, foot + 1))
    return things


def _bushes(place: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    things = []
    for _ in range(place.bushes):
        column, row, scale = _spread(place, rng, 2.2, 14)
        green = (0.20 * rng.uniform(0.8, 1.3), 0.27 * rng.uniform(0.85, 1.2), 0.14)
        plant = draw_bush(rng, float(np.clip(scale * rng.uniform(0.35, 0.7), 14, 130)), green)
        things.append(_stand(place, plant, column, row))
    return things


def _trees(place: CameraSite, rng: np.random.Generator) -> list[PlacedSprite]:
    things = []
    for _ in range(place.conifers):
        metres = rng.uniform(14, 45)
        row = row_at(place, metres)
        plant = draw_conifer(rng, FOCAL / metres * rng.uniform(4.5, 7), (0.15, 0.23, 0.13))
        things.append(_stand(place, plant, rng.uniform(-20, WIDTH + 20), row))
    for index in range(place.trunks):
        metres = rng.uniform(2.6, 6)
        column = (index + rng.uniform(0.1, 0.9)) * WIDTH / place.trunks
        row = row_at(place, metres)
        plant = draw_trunk(rng, FOCAL / metres * rng.uniform(0.2, 0.32), row + 6, (0.33, 0.26, 0.20))
        things.append(_stand(place, plant, column, row))
    return things


def _hung(rng: np.random.Generator, place: CameraSite) -> PlacedSprite:
    """Hang a twig from the upper border."""
    length = rng.uniform(70, 150)
    plant = draw_twig(rng, length, (0.26, 0.36, 0.13))
    column = rng.choice([rng.uniform(-20, 150), rng.uniform(480, 640)])
    return PlacedSprite(plant.sprite, round(column - plant.root[0]), round(rng.uniform(-40, -5)), 0, 1.1, plant)
