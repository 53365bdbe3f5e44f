"""The image sets of the levers benchmark: files, labels, bursts, and the groups that a split keeps together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd

from pipelines.demo.sample_set import IMAGES, render_sample_set
from pipelines.demo.schedule import plan_frames

MIN_SEQUENCES = 3  # of a class; rarer classes are left out
SPECIMENS, VIDEO_IMAGES = 16, 10  # at most, of each species of beetles and of each video of bees
MIN_PLOTS = 4  # of a species of beetles: with fewer, a split by plot says little
GROUP_GAP = "30min"  # sources.group_gap_minutes


@dataclass(frozen=True)
class LabelledSet:
    """The images of a set, a row each, and how to read them.

    `rows` has the columns path (a file), label, burst_id, station, camera, and one for each name in `groupings`. A
    label of None: the image is part of its burst and is neither trained on nor evaluated. `class_of_interest`: the
    class whose review share is measured, if there is one.
    """

    name: str
    rows: pd.DataFrame
    groupings: tuple[str, ...] = ("sequence", "station")
    class_of_interest: str | None = None
    crop_bottom: float = 0.0


def load_set(name: str, data: Path, cache: Path) -> LabelledSet:
    """Return a set of SETS from the folder of all sets; the sample set is rendered into the cache folder."""
    return SETS[name](name, data, cache)


def _read(folder: Path, path: str = "path") -> pd.DataFrame:
    rows = pd.read_csv(folder / "labels.csv", dtype={"seq_id": str})
    rows = rows.assign(path=[str(folder / name) for name in rows[path]], burst_id=rows.seq_id, sequence=rows.seq_id)
    return rows if "camera" in rows else rows.assign(camera=rows.station)


def _tunnels(name: str, data: Path, cache: Path) -> LabelledSet:
    rows = _read(data / name)
    rows["label"] = rows.label.where(rows.label == "blank", "animal")
    return LabelledSet(name, rows, class_of_interest="animal")


def _peru(name: str, data: Path, cache: Path) -> LabelledSet:
    """Return the set of one station, of two cameras that see the same animals: encounters and days are the groups."""
    rows = _read(data / name, "file_name").sort_values("datetime", ignore_index=True)
    times = pd.to_datetime(rows.datetime)
    starts = times.diff() > pd.Timedelta(GROUP_GAP)
    rows["sequence"], rows["day"] = starts.cumsum().astype(str), times.dt.strftime("%Y-%m-%d")
    rows["label"] = rows.label.where(rows.label.isin(["blank", "animal"]), None)
    return LabelledSet(name, rows, ("sequence", "day"), "animal", crop_bottom=0.07)


def _beetles(name: str, data: Path, cache: Path) -> LabelledSet:
    """Return specimens of each species of four plots or more, with a dorsal and a ventral image of each."""
    rows = _read(data / name).query("split != 'zero'")
    rows = rows[rows.groupby("label").station.transform("nunique") >= MIN_PLOTS]
    return LabelledSet(name, _sample(rows, ["label"], "burst_id", SPECIMENS))


def _bees(name: str, data: Path, cache: Path) -> LabelledSet:
    """Return images of each video, which counts as a burst, without copies of images of other videos."""
    rows = _read(data / name)
    rows["digest"] = [sha256(Path(path).read_bytes()).hexdigest() for path in rows.path]
    return LabelledSet(name, _sample(rows.drop_duplicates("digest"), ["burst_id"], "path", VIDEO_IMAGES), ("sequence",))


def _sample_set(name: str, data: Path, cache: Path, seed: int = 7) -> LabelledSet:
    """Return the sample set of `irbis demo`, with the labels of all frames."""
    folder = render_sample_set(cache / "sample", seed=seed, workers=2).images_folder
    frames = plan_frames(IMAGES, seed)
    rows = pd.DataFrame(
        {
            "path": [str(folder / frame.path) for frame in frames],
            "label": [frame.label for frame in frames],
            "station": [frame.station for frame in frames],
            "camera": [frame.camera for frame in frames],
            "burst_id": [f"{frame.camera}/{frame.encounter}/{frame.burst}" for frame in frames],
            "sequence": [str(frame.encounter) for frame in frames],
        }
    )
    return LabelledSet(name, rows, class_of_interest="leopard")


def _sample(rows: pd.DataFrame, within: list[str], unit: str, count: int) -> pd.DataFrame:
    """Return the rows of `count` units of each value of `within`: the first by their hash."""
    order = rows[unit].map(lambda text: sha256(str(text).encode()).hexdigest())
    rank = order.groupby([rows[name] for name in within]).rank(method="dense")
    return rows[rank <= count]


def without_rare_classes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with labels of None for classes with fewer than MIN_SEQUENCES sequences."""
    sequences = rows.groupby("label").sequence.nunique()
    rare = sequences.index[sequences < MIN_SEQUENCES]
    return rows.assign(label=rows.label.where(~rows.label.isin(rare), None))


SETS: dict[str, Callable[[str, Path, Path], LabelledSet]] = {
    "cameratrap_peru_sdzg": _peru,
    "smallmammal_tunnels_no": _tunnels,
    "sample": _sample_set,
    "honeybees": _bees,
    "neon_beetles": _beetles,
}
