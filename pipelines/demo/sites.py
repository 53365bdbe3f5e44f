"""The camera sites of the stations, with the plants and rocks in front of each camera."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.demo.layers import CAMERA_HEIGHT, FOCAL
from pipelines.demo.plants import Colour


@dataclass(frozen=True)
class CameraSite:
    """The surroundings of one camera: horizon, colours, and the numbers of plants and rocks."""

    camera: str
    station: str
    seed: int
    horizon: int  # row
    soil: Colour
    grass: Colour
    rock: Colour
    cover: float  # fraction of the ground under grass
    tufts: int
    boulders: int
    bushes: int = 0
    conifers: int = 0
    trunks: int = 0
    twigs: int = 0
    ridges: int = 2
    snow_line: float = 1.0  # fraction of a ridge's height above which there is snow
    sideways: bool = False  # on some days the camera is rotated by 90 degrees


EARTH, GRAVEL, HUMUS, SAND = (0.42, 0.36, 0.27), (0.50, 0.46, 0.41), (0.36, 0.29, 0.22), (0.53, 0.42, 0.30)
STEPPE, MEADOW, STRAW = (0.49, 0.47, 0.26), (0.42, 0.46, 0.19), (0.56, 0.50, 0.28)
SLATE, GRANITE, OCHRE = (0.46, 0.43, 0.40), (0.53, 0.50, 0.47), (0.56, 0.45, 0.36)

SITES = (
    CameraSite(
        "CAM01", "S01", 11, 150, EARTH, STEPPE, SLATE, cover=0.35, tufts=34, boulders=13, bushes=3, snow_line=0.62
    ),
    CameraSite(
        "CAM02", "S02", 12, 185, EARTH, MEADOW, GRANITE, 0.85, tufts=75, boulders=4, bushes=2, ridges=3, snow_line=0.5
    ),
    CameraSite("CAM03", "S03", 13, 165, HUMUS, MEADOW, SLATE, 0.55, 40, 7, bushes=4, conifers=9, twigs=2),
    CameraSite("CAM04", "S03", 14, 175, HUMUS, MEADOW, SLATE, 0.50, 44, 8, bushes=5, trunks=1, snow_line=0.7),
    CameraSite("CAM05", "S04", 15, 130, GRAVEL, STEPPE, GRANITE, 0.15, 20, 22, bushes=1, snow_line=0.35),
    CameraSite("CAM06", "S05", 16, 140, HUMUS, MEADOW, SLATE, 0.70, 46, 4, 3, conifers=7, trunks=3, twigs=3, ridges=1),
    CameraSite("CAM07", "S06", 17, 170, SAND, STRAW, OCHRE, 0.30, 38, 9, bushes=4, snow_line=0.8, sideways=True),
)


def metres_at(site: CameraSite, row: float) -> float:
    """Return the distance of the ground at a row below the horizon."""
    return FOCAL * CAMERA_HEIGHT / max(row - site.horizon, 2.0)


def row_at(site: CameraSite, metres: float) -> float:
    """Return the row at which the ground is `metres` away."""
    return site.horizon + FOCAL * CAMERA_HEIGHT / metres
