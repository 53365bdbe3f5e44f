from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import pytest

from pipelines.demo.schedule import Frame, count_bursts, plan_frames
from pipelines.demo.sites import SITES


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return plan_frames(480, 7)


def test_shares_of_labels_are_as_planned(frames: list[Frame]) -> None:
    shares = {label: count / 480 for label, count in Counter(frame.label for frame in frames).items()}
    assert shares == pytest.approx(
        {"blank": 0.44, "leopard": 0.12, "ibex": 0.15, "fox": 0.145, "hare": 0.145}, abs=0.02
    )


def test_the_rarest_label_has_enough_encounters_to_split(frames: list[Frame]) -> None:
    encounters = Counter(label for label, _ in {(frame.label, frame.encounter) for frame in frames})
    assert min(encounters.values()) >= 15


def test_every_label_is_seen_at_every_station_by_day_and_by_night(frames: list[Frame]) -> None:
    labels = {frame.label for frame in frames}
    assert {(frame.label, frame.conditions.night) for frame in frames} == {
        (x, y) for x in labels for y in (True, False)
    }
    for station in {place.station for place in SITES}:
        assert {frame.label for frame in frames if frame.station == station} >= {"blank"}
        assert len({frame.label for frame in frames if frame.station == station}) >= 4


def test_frames_of_a_burst_are_one_or_two_seconds_apart(frames: list[Frame]) -> None:
    for one, two in itertools.pairwise(frames):
        if two.number > 0:
            assert one.camera == two.camera
            assert timedelta(seconds=1) <= two.moment - one.moment <= timedelta(seconds=2)


def test_encounters_at_a_station_are_over_half_an_hour_apart_and_shorter_inside() -> None:
    frames = plan_frames(3000, 7)
    assert max(frame.moment.hour % 4 * 60 + frame.moment.minute for frame in frames) < 210  # of slots of 240
    ordered = sorted(frames, key=lambda frame: (frame.station, frame.moment))
    for one, two in itertools.pairwise(ordered):
        if one.station == two.station:
            is_same = two.moment - one.moment <= timedelta(minutes=30)
            assert is_same == (one.encounter == two.encounter)


def test_an_encounter_has_one_label_and_one_state_of_labelling_per_burst(frames: list[Frame]) -> None:
    assert len({(frame.encounter, frame.label) for frame in frames}) == len({frame.encounter for frame in frames})
    assert sum(not frame.is_labelled for frame in frames) == 24


def test_facing_cameras_see_the_same_animal_within_the_minute(frames: list[Frame]) -> None:
    by_camera = {
        camera: {frame.encounter: frame for frame in frames if frame.camera == camera and frame.number == 0}
        for camera in ("CAM03", "CAM04")
    }
    both = set(by_camera["CAM03"]) & set(by_camera["CAM04"])
    assert len(both) >= 3
    apart = [abs(by_camera["CAM03"][at].moment - by_camera["CAM04"][at].moment) for at in both]
    assert sum(pause < timedelta(minutes=1) for pause in apart) >= 3


def test_bursts_are_counted_by_station_and_pause(frames: list[Frame]) -> None:
    one = [frame for frame in frames if frame.camera == "CAM01"]
    assert count_bursts(one) == len(one) // 3
    assert count_bursts(one, gap=0) == len(one)


def test_the_plan_follows_from_the_seed_alone() -> None:
    assert plan_frames(90, 5) == plan_frames(90, 5)
    assert plan_frames(90, 5) != plan_frames(90, 6)
