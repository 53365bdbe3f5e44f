from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.demo.animals import HEIGHTS, draw_animal
from pipelines.demo.skeletons import KINDS, Chain, Pose, build_skeleton
from pipelines.demo.surface import render_surface


def test_a_ball_is_a_disc_that_bulges_to_the_camera() -> None:
    ball = Chain("trunk", np.array([[0, 1.0, 0, 0.5], [0.001, 1.0, 0, 0.5]]))
    surface = render_surface([ball], yaw=0.0, pitch=0.0, pixels_per_metre=40)
    shown = surface.index >= 0
    assert shown.sum() == pytest.approx(math.pi * 20**2, rel=0.03)
    middle = surface.index[round(surface.foot) - 40, round(surface.centre)]
    assert surface.normals[middle] == pytest.approx([0, 0, 1], abs=0.06)
    assert surface.body[middle] == pytest.approx([0, 1, 0.5], abs=0.03)


def test_the_nearer_of_two_balls_hides_the_other() -> None:
    def ball(part: str, z: float) -> Chain:
        return Chain(part, np.array([[0, 1.0, z, 0.3], [0.001, 1.0, z, 0.3]]))

    surface = render_surface([ball("near", 1.0), ball("far", -1.0)], 0.0, 0.0, 40)
    assert surface.is_part("near").all()
    turned = render_surface([ball("near", 1.0), ball("far", -1.0)], math.pi, 0.0, 40)
    assert turned.is_part("far").all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_animal_has_its_height(kind: str) -> None:
    animal = draw_animal(kind, Pose(swing=0.0, neck=0.1), 0.0, 200.0, individual=1)
    rows = np.flatnonzero(np.asarray(animal.sprite.colour.getchannel("A")).any(axis=1))
    assert animal.foot - rows[0] == pytest.approx(HEIGHTS[kind] * 200, rel=0.22)
    assert rows[-1] == pytest.approx(animal.foot, abs=25)


@pytest.mark.parametrize("kind", KINDS)
def test_turned_round_the_head_is_on_the_other_side(kind: str) -> None:
    pose = Pose(turn=0.0, neck=0.0)
    right = render_surface(build_skeleton(kind, pose), 0.0, 0.1, 100)
    left = render_surface(build_skeleton(kind, pose), math.pi, 0.1, 100)
    assert right.eyes[0][0] > right.centre
    assert left.eyes[0][0] < left.centre


def test_an_animal_that_faces_the_camera_shows_both_eyes() -> None:
    assert len(render_surface(build_skeleton("fox", Pose()), math.pi / 2, 0.1, 200).eyes) == 2
    assert len(render_surface(build_skeleton("fox", Pose()), -math.pi / 2, 0.1, 200).eyes) == 0


def test_an_individual_keeps_its_coat() -> None:
    def draw(individual: int) -> bytes:
        return draw_animal("leopard", Pose(), 0.3, 120.0, individual).sprite.colour.tobytes()

    assert draw(4) == draw(4)
    assert draw(4) != draw(5)
