"""Plan the sample set: which animal passes which camera at what time, and the weather.

Everything is decided here, from the seed, before any image is drawn, so each image can be drawn on its own and
in any order. Scene, hour, weather, position and size have the same distribution for all labels.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass

import numpy as np

from pipelines.demo.light import Conditions
from pipelines.demo.sites import SITES

BLANK = "blank"
LABEL_FRACTIONS = {BLANK: 0.44, "leopard": 0.12, "ibex": 0.15, "fox": 0.145, "hare": 0.145}
RARE = "leopard"  # always a single burst per encounter, so that its few bursts are as many encounters
FRAMES = 3
START = dt.datetime(2024, 9, 2)
HOURS_PER_SLOT = 4
FACING_CAMERAS = {"CAM03": "CAM04"}  # the second camera faces the first


@dataclass(frozen=True)
class Frame:
    """One image to draw."""

    path: str  # relative to the folder of images, POSIX
    label: str
    station: str
    camera: str
    moment: dt.datetime
    celsius: int
    encounter: int
    burst: int
    number: int  # 0..2 within the burst
    seconds: float  # since the first frame of the burst
    is_opposite_side: bool  # seen by the facing camera
    conditions: Conditions
    stream: tuple[int, int]  # seeds the image's own generator
    is_labelled: bool


@dataclass(frozen=True)
class _Burst:
    label: str
    camera: str
    moment: dt.datetime
    encounter: int
    number: int
    is_opposite_side: bool
    conditions: Conditions


def plan_frames(images: int, seed: int) -> list[Frame]:
    """Return all frames, by camera and time; `images` is a multiple of 3 and at least 30."""
    rng = np.random.default_rng([seed, 1])
    bursts = _plan_bursts(images // FRAMES, rng)
    unlabelled = set(rng.choice(len(bursts), size=max(1, round(len(bursts) * 0.05)), replace=False).tolist())
    counts: dict[str, int] = {}
    frames = []
    order = sorted(range(len(bursts)), key=lambda i: (bursts[i].camera, bursts[i].moment))
    for i in order:
        burst = bursts[i]
        seconds = np.cumsum([0, *rng.integers(1, 3, FRAMES - 1)])
        for number in range(FRAMES):
            counts[burst.camera] = counts.get(burst.camera, 0) + 1
            frames.append(
                _plan_frame(burst, i, number, int(seconds[number]), counts[burst.camera], seed, i not in unlabelled)
            )
    return frames


def _plan_frame(burst: _Burst, index: int, number: int, seconds: int, count: int, seed: int, labelled: bool) -> Frame:
    station = next(site.station for site in SITES if site.camera == burst.camera)
    moment = burst.moment + dt.timedelta(seconds=seconds)
    celsius = round(9 - 9 * np.cos((moment.hour - 3) / 24 * 2 * np.pi) - 5 * burst.conditions.cloud + index % 5)
    if burst.conditions.snowing:
        celsius = min(celsius, 0) - index % 4
    return Frame(
        path=f"{station}/{burst.camera}/IMG_{count:04d}.JPG",
        label=burst.label, station=station, camera=burst.camera, moment=moment, celsius=int(celsius),
        encounter=burst.encounter, burst=burst.number, number=number, seconds=float(seconds),
        is_opposite_side=burst.is_opposite_side, conditions=burst.conditions,
        stream=(seed, index * FRAMES + number), is_labelled=labelled,
    )  # fmt: skip


def _plan_bursts(count: int, rng: np.random.Generator) -> list[_Burst]:
    """Return `count` bursts in encounters of one to three bursts."""
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(min(int(rng.choice([1, 2, 3], p=[0.80, 0.15, 0.05])), count - sum(sizes)))
    labels = _assign_labels(sizes, rng)
    slots = _assign_slots(labels, rng)
    cameras = [site.camera for site in SITES if site.camera not in FACING_CAMERAS.values()]
    met = dict.fromkeys(LABEL_FRACTIONS, 0)
    bursts: list[_Burst] = []
    for encounter, (size, label, slot) in enumerate(zip(sizes, labels, slots, strict=True)):
        camera = cameras[(met[label] + list(LABEL_FRACTIONS).index(label)) % len(cameras)]
        met[label] += 1
        bursts.extend(_plan_encounter(encounter, slot, size, label, camera, rng))
    return bursts


def _assign_slots(labels: list[str], rng: np.random.Generator) -> list[int]:
    """Assign each encounter its own time slot; every label gets all times of day equally often."""
    times = 24 // HOURS_PER_SLOT
    met = dict.fromkeys(LABEL_FRACTIONS, 0)
    days = [rng.permutation(len(labels) // 3 + 6).tolist() for _ in range(times)]
    slots = []
    for label in labels:
        turn = met[label] + met[label] // times + 2 * list(LABEL_FRACTIONS).index(label)
        met[label] += 1
        slots.append(days[turn % times].pop() * times + turn % times)
    return slots


def _assign_labels(sizes: list[int], rng: np.random.Generator) -> list[str]:
    """Assign each encounter a label, so that the bursts approximate LABEL_FRACTIONS."""
    missing = {label: fraction * sum(sizes) for label, fraction in LABEL_FRACTIONS.items()}
    labels = []
    for size in sizes:
        fitting = [name for name in missing if size == 1 or name != RARE]
        label = max(fitting, key=lambda name: missing[name] / LABEL_FRACTIONS[name] + rng.uniform(0, 2))
        missing[label] -= size
        labels.append(label)
    return labels


def _plan_encounter(
    number: int, slot: int, size: int, label: str, camera: str, rng: np.random.Generator
) -> list[_Burst]:
    """Return the bursts of one encounter in its time slot: a few minutes apart, facing cameras at once."""
    moment = START + dt.timedelta(hours=HOURS_PER_SLOT * slot, minutes=float(rng.uniform(0, 180)))
    moment = moment.replace(second=int(rng.integers(60)), microsecond=0)
    conditions = draw_conditions(moment, rng)
    pair = [camera, FACING_CAMERAS[camera]] if camera in FACING_CAMERAS else [camera]
    first = int(rng.integers(len(pair)))
    bursts = []
    for index in range(size):
        side, passing = (first + index) % len(pair), index // len(pair)
        bursts.append(_Burst(label, pair[side], moment, number, passing, side == 1, conditions))
        is_last_of_pair = (index + 1) % len(pair) == 0  # the next burst is a later pass
        moment += dt.timedelta(seconds=int(rng.uniform(150, 600) if is_last_of_pair else rng.uniform(3, 30)))
    return bursts


def draw_conditions(moment: dt.datetime, rng: np.random.Generator) -> Conditions:
    """Draw the weather and the state of the camera for one encounter at random."""
    hour = moment.hour + moment.minute / 60
    cold = moment.month >= 10
    foggy, snowing = rng.random() < 0.10, rng.random() < (0.14 if cold else 0.04)
    warmth = rng.normal(0, 0.05)
    cloud = float(np.clip(rng.beta(0.6, 0.9), 0, 1))
    return Conditions(
        hour=hour, night=hour < 5.8 or hour > 19.0, cloud=max(cloud, 0.8) if foggy or snowing else cloud,
        fog=float(rng.uniform(0.02, 0.06)) if foggy else 0.0, snowing=bool(snowing),
        wind=float(rng.beta(1.2, 2.0)), exposure=float(np.exp(rng.normal(0, 0.16))),
        balance=(float(1 + warmth), 1.0, float(1 - warmth + rng.normal(0, 0.02))),
        noise=float(rng.uniform(0.006, 0.024)), focus=float(rng.choice([0.0, 0.5, 0.9], p=[0.5, 0.35, 0.15])),
    )  # fmt: skip


def count_bursts(frames: list[Frame], gap: float = 60.0) -> int:
    """Count the bursts of each station's images; a pause of more than `gap` seconds ends a burst.

    Facing cameras that record the same animal within a minute share a burst.
    """
    times = sorted((frame.station, frame.moment) for frame in frames)
    pauses = itertools.pairwise(times)
    return 1 + sum(one[0] != two[0] or (two[1] - one[1]).total_seconds() > gap for one, two in pauses)
