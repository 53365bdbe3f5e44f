"""The plan of the set: who passes which camera when, and what the weather is like.

Everything is decided here, from the seed, before an image is drawn; so each image can be drawn
alone and in any order. Scene, hour, weather, place and size are drawn alike for all labels.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass

import numpy as np

from pipelines.demo.light import Conditions
from pipelines.demo.sites import SITES

BLANK = "blank"
SHARES = {BLANK: 0.44, "leopard": 0.12, "ibex": 0.15, "fox": 0.145, "hare": 0.145}
RARE = "leopard"  # comes once and is gone, so that its few bursts are as many encounters
FRAMES = 3
START = dt.datetime(2024, 9, 2)
HOURS_PER_SLOT = 4
FACING_CAMERAS = {"CAM03": "CAM04"}  # the second camera looks at the first


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
    opposed: bool  # seen from the other side
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
    opposed: bool
    conditions: Conditions


def plan_frames(images: int, seed: int) -> list[Frame]:
    """Give all frames, by camera and time; `images` is a multiple of 3 and at least 30."""
    rng = np.random.default_rng([seed, 1])
    bursts = _bursts(images // FRAMES, rng)
    unlabelled = set(rng.choice(len(bursts), size=max(1, round(len(bursts) * 0.05)), replace=False).tolist())
    taken: dict[str, int] = {}
    frames = []
    order = sorted(range(len(bursts)), key=lambda at: (bursts[at].camera, bursts[at].moment))
    for at in order:
        burst = bursts[at]
        seconds = np.cumsum([0, *rng.integers(1, 3, FRAMES - 1)])
        for number in range(FRAMES):
            taken[burst.camera] = taken.get(burst.camera, 0) + 1
            frames.append(
                _frame(burst, at, number, int(seconds[number]), taken[burst.camera], seed, at not in unlabelled)
            )
    return frames


def _frame(burst: _Burst, at: int, number: int, seconds: int, count: int, seed: int, labelled: bool) -> Frame:
    station = next(place.station for place in SITES if place.camera == burst.camera)
    moment = burst.moment + dt.timedelta(seconds=seconds)
    celsius = round(9 - 9 * np.cos((moment.hour - 3) / 24 * 2 * np.pi) - 5 * burst.conditions.cloud + at % 5)
    if burst.conditions.snowing:
        celsius = min(celsius, 0) - at % 4
    return Frame(
        path=f"{station}/{burst.camera}/IMG_{count:04d}.JPG",
        label=burst.label, station=station, camera=burst.camera, moment=moment, celsius=int(celsius),
        encounter=burst.encounter, burst=burst.number, number=number, seconds=float(seconds),
        opposed=burst.opposed, conditions=burst.conditions, stream=(seed, at * FRAMES + number), is_labelled=labelled,
    )  # fmt: skip


def _bursts(count: int, rng: np.random.Generator) -> list[_Burst]:
    """Fill encounters with one to three bursts, until there are `count` of them."""
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(min(int(rng.choice([1, 2, 3], p=[0.80, 0.15, 0.05])), count - sum(sizes)))
    labels = _by_burst_shares(sizes, rng)
    slots = _slots(labels, rng)
    cameras = [place.camera for place in SITES if place.camera not in FACING_CAMERAS.values()]
    met = dict.fromkeys(SHARES, 0)
    bursts: list[_Burst] = []
    for encounter, (size, label, slot) in enumerate(zip(sizes, labels, slots, strict=True)):
        camera = cameras[(met[label] + list(SHARES).index(label)) % len(cameras)]
        met[label] += 1
        bursts.extend(_encounter(encounter, slot, size, label, camera, rng))
    return bursts


def _slots(labels: list[str], rng: np.random.Generator) -> list[int]:
    """Give each encounter a slot of time of its own; every label gets all times of day alike."""
    times = 24 // HOURS_PER_SLOT
    met = dict.fromkeys(SHARES, 0)
    days = [rng.permutation(len(labels) // 3 + 6).tolist() for _ in range(times)]
    slots = []
    for label in labels:
        turn = met[label] + met[label] // times + 2 * list(SHARES).index(label)
        met[label] += 1
        slots.append(days[turn % times].pop() * times + turn % times)
    return slots


def _by_burst_shares(sizes: list[int], rng: np.random.Generator) -> list[str]:
    """Give each encounter a label, so that the bursts come near the set's shares."""
    missing = {label: share * sum(sizes) for label, share in SHARES.items()}
    labels = []
    for size in sizes:
        fitting = [name for name in missing if size == 1 or name != RARE]
        label = max(fitting, key=lambda name: missing[name] / SHARES[name] + rng.uniform(0, 2))
        missing[label] -= size
        labels.append(label)
    return labels


def _encounter(number: int, slot: int, size: int, label: str, camera: str, rng: np.random.Generator) -> list[_Burst]:
    """Lay one encounter into its slot of time: bursts a few minutes apart, opposed cameras at once."""
    moment = START + dt.timedelta(hours=HOURS_PER_SLOT * slot, minutes=float(rng.uniform(0, 180)))
    moment = moment.replace(second=int(rng.integers(60)), microsecond=0)
    conditions = conditions_at(moment, rng)
    pair = [camera, FACING_CAMERAS[camera]] if camera in FACING_CAMERAS else [camera]
    first = int(rng.integers(len(pair)))
    bursts = []
    for index in range(size):
        side, passing = (first + index) % len(pair), index // len(pair)
        bursts.append(_Burst(label, pair[side], moment, number, passing, side == 1, conditions))
        again = (index + 1) % len(pair) == 0  # both cameras have seen it: it comes back later
        moment += dt.timedelta(seconds=int(rng.uniform(150, 600) if again else rng.uniform(3, 30)))
    return bursts


def conditions_at(moment: dt.datetime, rng: np.random.Generator) -> Conditions:
    """Draw the weather and the camera's mood for one encounter."""
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
    """Count the bursts that the images of each station fall into: a pause over `gap` seconds ends one.

    Opposed cameras that see the same animal within the minute share a burst.
    """
    times = sorted((frame.station, frame.moment) for frame in frames)
    pauses = itertools.pairwise(times)
    return 1 + sum(one[0] != two[0] or (two[1] - one[1]).total_seconds() > gap for one, two in pauses)
