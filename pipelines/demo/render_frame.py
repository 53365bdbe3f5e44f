"""Render one frame of the schedule: scene, animal, light, camera and info bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipelines.demo.animals import HEIGHTS, Animal, draw_animal
from pipelines.demo.camera import add_eyeshine, add_insect, add_snowfall, expose
from pipelines.demo.info_bar import draw_info_bar
from pipelines.demo.layers import CAMERA_HEIGHT, HEIGHT, WIDTH, Layers
from pipelines.demo.light import dapple, shade_daylight, shade_infrared
from pipelines.demo.noise import Floats
from pipelines.demo.scenes import DRIFT, PlacedSprite, Scene, build_scene
from pipelines.demo.schedule import BLANK, Frame
from pipelines.demo.sites import metres_at
from pipelines.demo.skeletons import Pose

HEIGHT_FRACTIONS = {"leopard": (0.26, 0.60), "ibex": (0.32, 0.74), "fox": (0.24, 0.56), "hare": (0.26, 0.56)}
Box = tuple[int, int, int, int]  # left, top, right, bottom
SPEED = {"leopard": 0.5, "ibex": 0.4, "fox": 0.45, "hare": 0.25}  # metres per second


@dataclass(frozen=True)
class Stance:
    """The position of the animal in one frame, in pixels, and its pose."""

    kind: str
    column: float
    row: float
    scale: float  # pixels per metre
    yaw: float
    pose: Pose
    individual: int
    min_visible_fraction: float  # of its width, inside the image


@dataclass(frozen=True)
class PlacedAnimal:
    """An animal and the upper left corner of its sprite, in pixels of the image."""

    animal: Animal
    left: int
    top: int

    @property
    def eyes(self) -> list[tuple[float, float]]:
        return [(self.left + x, self.top + y) for x, y in self.animal.eyes]

    @property
    def box(self) -> Box:
        """Return left, top, right, bottom of the animal within the image, plants in front of it included, in pixels."""
        outline = self.animal.sprite.colour.getchannel("A").getbbox() or (0, 0, *self.animal.sprite.size)
        left, top, right, bottom = outline
        return (
            max(self.left + left, 0),
            max(self.top + top, 0),
            min(self.left + right, WIDTH),
            min(self.top + bottom, HEIGHT),
        )


def draw_frame(frame: Frame) -> Image.Image:
    """Draw one image, upright, 640 x 480 pixels; it depends on the frame only."""
    return draw_frame_with_box(frame)[0]


def locate_animal(frame: Frame) -> Box | None:
    """Return the box that `draw_frame_with_box` returns, in half the time; None without an animal."""
    scene = build_scene(frame.camera)
    return None if frame.label == BLANK else _place_animal(_choose_stance(frame, scene)).box


def draw_frame_with_box(frame: Frame) -> tuple[Image.Image, Box | None]:
    """Return the image and the box of its animal; None without an animal."""
    scene = build_scene(frame.camera)
    rng = np.random.default_rng([*frame.stream, 3])
    layers = scene.ground.copy()
    shadow = Image.new("L", (WIDTH, HEIGHT), 255)
    stance = None if frame.label == BLANK else _choose_stance(frame, scene)
    placed = _paste_sprites(layers, shadow, scene, frame, stance, rng)
    light_map = _light_scene(layers, shadow, scene, frame, rng)
    _add_lens_effects(light_map, frame, placed.eyes if placed else [], stance, rng)
    image = expose(light_map, frame.conditions, rng)
    draw_info_bar(image, frame.camera, frame.moment, frame.celsius, int(frame.camera[-1]) % 2)
    return image, placed.box if placed else None


def _add_lens_effects(
    light_map: Floats, frame: Frame, eyes: list[tuple[float, float]], stance: Stance | None, rng: np.random.Generator
) -> None:
    if frame.conditions.night and stance is not None:
        add_eyeshine(light_map, eyes, 1.0 + 0.008 * stance.scale)
    if frame.conditions.night and rng.random() < 0.12:
        add_insect(light_map, rng)
    if frame.conditions.snowing:
        add_snowfall(light_map, frame.conditions.night, rng)


def _light_scene(layers: Layers, shadow: Image.Image, scene: Scene, frame: Frame, rng: np.random.Generator) -> Floats:
    if frame.conditions.night:
        return shade_infrared(layers, frame.conditions)
    sky = np.random.default_rng([frame.stream[0], 9, frame.encounter, frame.burst])  # constant within a burst
    drift = sky.integers(30, DRIFT - 30, 2) + (frame.conditions.wind * rng.uniform(-30, 30, 2)).astype(int)
    leaves = 0.55 if scene.site.trunks or scene.hanging else 0.25
    shade = dapple(scene.dapples, leaves, (int(drift[0]), int(drift[1]))) * (np.asarray(shadow, np.float32) / 255)
    return shade_daylight(layers, frame.conditions, shade, scene.site.seed % 5 - 2.0, sky)


def _choose_stance(frame: Frame, scene: Scene) -> Stance:
    """Choose size, position and pose: by encounter, then by burst, then by frame."""
    seed = frame.stream[0]
    kind = frame.label
    whole = np.random.default_rng([seed, 5, frame.encounter])
    facing = float(whole.choice([0.0, math.pi]))
    bulk, horn = float(whole.uniform(0.92, 1.12)), float(whole.uniform(0.55, 1.0))
    burst = np.random.default_rng([seed, 6, frame.encounter, frame.burst])
    low, high = HEIGHT_FRACTIONS[kind]
    height = HEIGHT * float(np.exp(burst.uniform(math.log(low), math.log(high))))
    scale = height / HEIGHTS[kind]
    row = scene.site.horizon + scale * CAMERA_HEIGHT * float(burst.uniform(0.9, 1.05))
    row = max(row, height * float(burst.uniform(0.88, 1.1)))  # lower ground keeps horns inside the image
    row = min(row, HEIGHT - 20 + 0.25 * height)
    turn_away = float(burst.normal(0, 0.5))
    yaw = facing + float(np.clip(turn_away, -1.1, 1.1)) + (math.pi if frame.is_opposite_side else 0.0)
    pose = _choose_pose(kind, frame, burst, bulk, horn)
    column = _choose_column(scene, burst, row, height * 0.8)
    ahead = SPEED[kind] * scale * frame.seconds * float(burst.choice([0.0, 0.4, 1.0]))
    return Stance(
        kind,
        column + math.cos(yaw) * ahead,
        row,
        scale,
        yaw,
        pose,
        seed * 7919 + frame.encounter,
        float(burst.uniform(0.62, 1.0)),
    )


def _choose_pose(kind: str, frame: Frame, burst: np.random.Generator, bulk: float, horn: float) -> Pose:
    stride, swing = float(burst.uniform(0, 6)), float(burst.uniform(0.1, 0.45))
    lowered = burst.random() < 0.3
    neck = float(burst.uniform(-1.0, -0.6)) if lowered and kind != "hare" else float(burst.uniform(-0.2, 0.25))
    turn, tail = float(burst.normal(0, 0.45)), float(burst.uniform(-0.3, 0.9))
    jitter = np.random.default_rng([*frame.stream, 8]).normal(0, 1, 3)
    return Pose(
        stride=stride + 1.6 * frame.seconds, swing=swing if kind != "hare" else swing * 0.6,
        neck=neck + 0.06 * float(jitter[0]), turn=turn + 0.15 * float(jitter[1]), tail=tail + 0.12 * float(jitter[2]),
        bulk=bulk, horn=horn,
    )  # fmt: skip


def _choose_column(scene: Scene, rng: np.random.Generator, row: float, wide: float) -> float:
    """Choose a column where no boulder or trunk in front hides most of the animal."""
    tries = rng.uniform(0.02, 0.98, 10) * WIDTH
    return float(min(tries, key=lambda column: _hidden_fraction(scene, column, row, wide)))


def _hidden_fraction(scene: Scene, column: float, row: float, wide: float) -> float:
    left, right = column - wide, column + wide
    cover = max(0.0, -left) + max(0.0, right - WIDTH)
    for item in scene.standing:
        if item.foot > row and item.top < row - 0.3 * wide:
            overlap = min(right, item.left + item.sprite.size[0]) - max(left, item.left)
            cover += max(0.0, overlap) * (0.3 if item.plant and item.plant.flexibility > 0.05 else 1.0)
    return max(cover / (2 * wide), 0.3)


def _paste_sprites(
    layers: Layers, shadow: Image.Image, scene: Scene, frame: Frame, stance: Stance | None, rng: np.random.Generator
) -> PlacedAnimal | None:
    """Paste all sprites from far to near, including the animal, and return it."""
    gust = frame.conditions.wind * rng.normal(0.3, 0.8, 2)
    placed: PlacedAnimal | None = None
    for item in scene.standing:
        if placed is None and stance is not None and item.foot > stance.row:
            placed = _paste_animal(layers, shadow, scene, frame, stance)
        _paste_sprite(layers, item, gust, frame.conditions.wind, rng)
    if placed is None and stance is not None:
        placed = _paste_animal(layers, shadow, scene, frame, stance)
    for item in scene.hanging:
        _paste_sprite(layers, item, gust, frame.conditions.wind, rng)
    return placed


def _paste_sprite(layers: Layers, item: PlacedSprite, gust: Floats, wind: float, rng: np.random.Generator) -> None:
    sprite = item.sprite
    if item.plant is not None:
        wave = gust[0] + gust[1] * math.sin(item.left / 90.0) + 0.6 * wind * rng.normal()
        sprite = sprite.shear(item.plant.flexibility * wave, item.plant.root[1])
    layers.paste(sprite, item.left, item.top, item.metres)


def _place_animal(stance: Stance) -> PlacedAnimal:
    animal = draw_animal(stance.kind, stance.pose, stance.yaw, stance.scale, stance.individual)
    width, top = animal.sprite.size[0], round(stance.row - animal.foot)
    left = round(
        np.clip(
            stance.column - animal.centre,
            (stance.min_visible_fraction - 1) * width,
            WIDTH - stance.min_visible_fraction * width,
        )
    )
    return PlacedAnimal(animal, left, top)


def _paste_animal(layers: Layers, shadow: Image.Image, scene: Scene, frame: Frame, stance: Stance) -> PlacedAnimal:
    placed = _place_animal(stance)
    animal, left, top = placed.animal, placed.left, placed.top
    if not frame.conditions.night:
        _cast_shadow(shadow, animal, left, top, frame)
    _darken_ground(layers, animal, left, round(stance.row))
    layers.paste(animal.sprite, left, top, metres_at(scene.site, stance.row))
    return placed


def _cast_shadow(shadow: Image.Image, animal: Animal, left: int, top: int, frame: Frame) -> None:
    """Draw the animal's shadow on the ground: its outline, sheared and flattened."""
    mask = animal.sprite.colour.getchannel("A")
    lean = np.clip((frame.conditions.hour - 12.3) / 4.5, -1.4, 1.4) * 0.7 * mask.height
    tall, wide = max(2, round(mask.height * 0.32)), round(mask.width + abs(lean))
    slope = lean / tall
    flat = mask.transform((wide, tall), Image.Transform.AFFINE, (1, slope, -max(lean, 0.0), 0, mask.height / tall, 0))
    foot = top + round(animal.foot)
    soft = flat.filter(ImageFilter.GaussianBlur(1.5))
    left += round(min(lean, 0.0))
    shadow.paste(70, (left, foot - tall, left + wide, foot), soft)


def _darken_ground(layers: Layers, animal: Animal, left: int, row: int) -> None:
    """Darken the ground under the animal a little, where skylight is blocked."""
    width = animal.sprite.size[0]
    tall = max(4, width // 7)
    spot = Image.new("L", (width + 2 * tall, 2 * tall))
    ImageDraw.Draw(spot).ellipse((tall, tall // 2, width + tall, tall + tall // 2), fill=135)
    spot = spot.filter(ImageFilter.GaussianBlur(tall / 3))
    box = (left - tall, row - tall, left + width + tall, row + tall)
    layers.colour.paste((20, 18, 14), box, spot)
