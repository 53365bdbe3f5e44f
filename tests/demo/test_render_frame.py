from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.demo.encode import encode_jpeg, get_orientation
from pipelines.demo.render_frame import draw_frame, draw_frame_with_box, locate_animal
from pipelines.demo.scenes import build_scene
from pipelines.demo.schedule import Frame, plan_frames


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return plan_frames(480, 7)


def pick(frames: list[Frame], label: str, night: bool) -> Frame:
    return next(f for f in frames if f.label == label and f.conditions.night == night and f.number == 0)


def pixels(frame: Frame) -> np.ndarray:
    return np.asarray(draw_frame(frame).crop((0, 0, 640, 454)), np.int16)


@pytest.mark.parametrize("label", ["leopard", "ibex", "fox", "hare"])
@pytest.mark.parametrize("night", [True, False])
def test_the_animal_is_seen_against_the_same_scene_without_it(frames: list[Frame], label: str, night: bool) -> None:
    frame = pick(frames, label, night)
    changed = np.abs(pixels(frame) - pixels(replace(frame, label="blank"))).max(axis=2) > 24
    assert changed.mean() > 0.01


@pytest.mark.parametrize("label", ["leopard", "ibex", "fox", "hare"])
def test_the_box_encloses_the_animal_and_is_found_without_drawing(frames: list[Frame], label: str) -> None:
    frame = pick(frames, label, night=True)
    _, box = draw_frame_with_box(frame)
    assert box is not None and box == locate_animal(frame)
    left, top, right, bottom = box
    changed = np.abs(pixels(frame) - pixels(replace(frame, label="blank"))).max(axis=2) > 24
    inside = changed[top:bottom, left:right]
    assert inside.sum() > 0.85 * changed.sum() and inside.mean() > 0.2  # the rest is the ground at its feet
    rows, columns = np.flatnonzero(inside.mean(axis=1) > 0.02), np.flatnonzero(inside.mean(axis=0) > 0.02)
    assert len(rows) > 0.8 * (min(bottom, 454) - top) and len(columns) > 0.8 * (right - left)


def test_a_blank_frame_has_no_box(frames: list[Frame]) -> None:
    assert draw_frame_with_box(pick(frames, "blank", True))[1] is None
    assert locate_animal(pick(frames, "blank", True)) is None


def test_night_is_grey_and_day_has_colour(frames: list[Frame]) -> None:
    night, day = pixels(pick(frames, "blank", True)), pixels(pick(frames, "blank", False))
    assert np.ptp(night, axis=2).max() == 0
    assert np.ptp(day, axis=2).mean() > 8


def test_empty_frames_of_a_burst_differ_by_wind_and_noise(frames: list[Frame]) -> None:
    first = pick(frames, "blank", False)
    second = frames[frames.index(first) + 1]
    assert second.burst == first.burst
    assert 1 < np.abs(pixels(first) - pixels(second)).mean() < 30


def test_an_image_does_not_depend_on_earlier_ones(frames: list[Frame]) -> None:
    frame = pick(frames, "fox", False)
    before = draw_frame(frame).tobytes()
    build_scene.cache_clear()
    draw_frame(frames[-1])
    assert draw_frame(frame).tobytes() == before


def test_a_camera_that_hung_sideways_stores_a_turned_image(frames: list[Frame]) -> None:
    turned = {get_orientation(frame) for frame in frames if frame.camera == "CAM07"}
    assert turned == {1, 6, 8}
    assert {get_orientation(frame) for frame in frames if frame.camera != "CAM07"} == {1}
    for orientation in (6, 8):
        frame = next(f for f in frames if f.camera == "CAM07" and get_orientation(f) == orientation)
        upright = draw_frame(frame)
        stored = Image.open(io.BytesIO(encode_jpeg(upright, frame)))
        assert stored.size == (480, 640)
        shown = np.asarray(ImageOps.exif_transpose(stored), np.int16)
        assert np.abs(shown - np.asarray(upright, np.int16)).mean() < 8
