"""The plan of a sweep: which settings are tried with which values, read from a file and refused before it starts."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import SettingsSection
from pipelines.errors import SettingsError

FIXED_KEYS = {
    *("fractions", "split_salt", "exclude_labels", "classes_of_interest", "min_groups_per_class"),
    *("folds", "gate_metric", "bootstrap"),
}
EXTRA_KEYS = ("featurize.backbone", "featurize.horizontal_flip")

Choices = Annotated[list[bool | int | float | str | None], Field(min_length=1)]


class SearchRange(SettingsSection):
    """Hold a range of numbers; `log`: a tenth to 1 is as likely as 1 to ten; `integer`: whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Shard:
    """Say which trials are a process's own: of `parts` that work side by side it is number `part`, from 1 on."""

    part: int = 1
    parts: int = 1

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read a share such as 2/4; raise SettingsError if it is none."""
        part, _, parts = text.partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            raise SettingsError(f"--shard {text}: expected I/N, such as 1/4 to 4/4.")
        return cls(int(part), int(parts))

    @property
    def is_all(self) -> bool:
        return self.parts == 1


ALL = Shard()


class SweepPlan(SettingsSection):
    """Hold what a sweep tries and how much of it.

    `method`: grid (every combination), random, or tpe (tree-structured Parzen estimator: Bergstra et al., 2011).
    """

    method: Literal["grid", "random", "tpe"] = "tpe"
    trials: Annotated[int, Field(ge=1)] = 20
    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "log_loss"] = (
        "balanced_accuracy"
    )
    prune: bool = True
    seed: int = 0
    space: Annotated[dict[str, SearchRange | Choices], Field(min_length=1)]

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        return "minimize" if self.metric == "log_loss" else "maximize"

    @property
    def n_trials(self) -> int:
        """Give the number of trials; of a grid, that of its combinations."""
        return sum(1 for _ in self.combinations()) if self.method == "grid" else self.trials

    def numbers(self, share: Shard) -> range:
        """Give the numbers of the trials of a share; of a grid, number N is combination N."""
        return range(share.part - 1, self.n_trials, share.parts)

    def choices(self, key: str, otherwise: Any) -> list[Any]:
        """Give what is tried of a setting; where it is not swept, what it is otherwise."""
        found = self.space.get(key, [otherwise])
        return found if isinstance(found, list) else []

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Give every combination of the choices; of a grid, whose space has no ranges."""
        lists = [values for values in self.space.values() if isinstance(values, list)]
        for found in itertools.product(*lists):
            yield dict(zip(self.space, found, strict=True))

    def extremes(self) -> Iterator[tuple[str, Any]]:
        """Give every choice, and both ends of every range, with its setting."""
        for key, values in self.space.items():
            for value in values if isinstance(values, list) else (_number(values, end) for end in ("low", "high")):
                yield key, value

    def digest(self, *others: str) -> str:
        """Give a short text that is the same for the same space, metric and `others`; trials may be added."""
        kept = self.model_dump(include={"metric", "space"}, mode="json")
        return hashlib.sha256(json.dumps([kept, *others], sort_keys=True).encode()).hexdigest()[:16]


def _number(values: SearchRange, end: str) -> float | int:
    found = getattr(values, end)
    return int(found) if values.integer else found


def read_plan(file: str, origins: Mapping[str, SourcedValue]) -> SweepPlan:
    """Give the plan of a YAML file; raise SettingsError with all that is wrong with it.

    Every value is held against the settings' own limits, so that no trial fails on one an hour later.
    """
    path = Path(file)
    if not path.is_file():
        raise SettingsError(f"There is no file {file}. Give a sweep's plan, such as conf/sweeps/learners.yaml.")
    try:
        plan = SweepPlan(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except (yaml.YAMLError, TypeError) as error:
        raise SettingsError(f"{file} cannot be read as a mapping in YAML: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        raise SettingsError([_told(file, each) for each in error.errors()]) from error
    if faults := [*_range_faults(plan), *_key_faults(plan, origins), *_value_faults(plan, origins)]:
        raise SettingsError([f"{file}: {fault}" for fault in faults])
    return plan


def _told(file: str, error: Any) -> str:
    parts = [str(part) for part in error["loc"] if part not in ("Range",) and "list[" not in str(part)]
    return f"{file}: {'.'.join(parts)}: {error['msg'][0].lower()}{error['msg'][1:]} (it is {error['input']!r})."


def _range_faults(plan: SweepPlan) -> list[str]:
    faults = []
    for key, values in plan.space.items():
        if isinstance(values, list):
            if len(set(map(str, values))) < len(values):
                faults.append(f"{key} has a value twice: {values}.")
            continue
        if plan.method == "grid":
            faults.append(f"{key} is a range, and a grid has none. List its values, or take method: random.")
        if values.low >= values.high:
            faults.append(f"{key}: low is {values.low:g} and high {values.high:g}; low should be below high.")
        if values.log and values.low <= 0:
            faults.append(f"{key}: a log range begins above 0, not at {values.low:g}.")
        if values.integer and not (values.low.is_integer() and values.high.is_integer()):
            faults.append(f"{key}: an integer range has whole ends, not {values.low:g} and {values.high:g}.")
    return faults


def _key_faults(plan: SweepPlan, origins: Mapping[str, SourcedValue]) -> list[str]:
    faults = []
    for key in plan.space:
        section, _, name = key.partition(".")
        if key in origins and key not in EXTRA_KEYS and (section != "train" or name in FIXED_KEYS):
            allowed = f"train.* but {', '.join(sorted(FIXED_KEYS))}; {', '.join(EXTRA_KEYS)}"
            faults.append(f"{key} cannot be swept: trials could not be compared. What can: {allowed}.")
    return faults


def _value_faults(plan: SweepPlan, origins: Mapping[str, SourcedValue]) -> list[str]:
    faults: list[str] = []
    for key, value in plan.extremes():
        try:
            build_settings({**origins, key: SourcedValue(value, "the sweep")})
        except SettingsError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    return faults
