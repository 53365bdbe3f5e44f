"""Plan of a sweep: settings and their candidate values, read from a YAML file and validated before the start."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError

from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.section import SettingsSection
from pipelines.errors import SettingsError
from pipelines.metrics.registry import all_metrics, validate_sweep_metric

FIXED_KEYS = {
    *("fractions", "split_salt", "exclude_labels", "classes_of_interest", "min_groups_per_class"),
    *("cv_folds", "gate_metric", "bootstrap_resamples"),
}
EXTRA_KEYS = ("featurize.backbone", "featurize.views", "featurize.horizontal_flip")

Choices = Annotated[list[bool | int | float | str | None], Field(min_length=1)]


class SearchRange(SettingsSection):
    """A range of numbers; `log`: sampled uniformly in the logarithm; `integer`: whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Shard:
    """The trials of one of several parallel processes: number `index`, from 1, of `count`."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard I/N, such as 2/4; raise SettingsError for other text."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise SettingsError(f"--shard {text}: give number and count, such as 1/4 to 4/4.")
        return cls(int(index), int(count))

    @property
    def is_all(self) -> bool:
        return self.count == 1


ALL_TRIALS = Shard()


class SweepPlan(SettingsSection):
    """Search space, method and number of trials of a sweep.

    `method`: grid (every combination), random, or tpe (tree-structured Parzen estimator: Bergstra et al., 2011).
    """

    method: Literal["grid", "random", "tpe"] = "tpe"
    trials: Annotated[int, Field(ge=1)] = 20
    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    metric: Annotated[str, AfterValidator(validate_sweep_metric)] = "balanced_accuracy"
    prune: bool = True
    seed: int = 0
    space: Annotated[dict[str, SearchRange | Choices], Field(min_length=1)]

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        return "maximize" if all_metrics()[self.metric].higher_is_better else "minimize"

    @property
    def n_trials(self) -> int:
        """Return the number of trials; for a grid, the number of combinations."""
        return sum(1 for _ in self.combinations()) if self.method == "grid" else self.trials

    def trial_numbers(self, shard: Shard) -> range:
        """Return the numbers of the trials of a shard; for a grid, number N is combination N."""
        return range(shard.index - 1, self.n_trials, shard.count)

    def choices(self, key: str, default: Any) -> list[Any]:
        """Return the listed values of a setting; the default if it is not swept, nothing for a range."""
        values = self.space.get(key, [default])
        return values if isinstance(values, list) else []

    def feature_settings(self, origins: Mapping[str, SourcedValue]) -> Iterator[dict[str, SourcedValue]]:
        """Yield the settings with every combination of backbone, views and flip of the plan."""
        for values in itertools.product(*(self.choices(key, origins[key].value) for key in EXTRA_KEYS)):
            chosen = {key: SourcedValue(value, "the sweep") for key, value in zip(EXTRA_KEYS, values, strict=True)}
            yield {**origins, **{key: value for key, value in chosen.items() if key in self.space}}

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield every combination of the choices of a grid, whose space has no ranges."""
        lists = [values for values in self.space.values() if isinstance(values, list)]
        for values in itertools.product(*lists):
            yield dict(zip(self.space, values, strict=True))

    def extremes(self) -> Iterator[tuple[str, Any]]:
        """Yield each setting with every choice, or with both ends of its range."""
        for key, values in self.space.items():
            for value in values if isinstance(values, list) else (_range_end(values, end) for end in ("low", "high")):
                yield key, value

    def digest(self, *others: str) -> str:
        """Return a digest of space, metric and `others`; the number of trials is not part of it."""
        identity = self.model_dump(include={"metric", "space"}, mode="json")
        return hashlib.sha256(json.dumps([identity, *others], sort_keys=True).encode()).hexdigest()[:16]


def _range_end(values: SearchRange, end: str) -> float | int:
    value = getattr(values, end)
    return int(value) if values.integer else value


def read_plan(file: str, origins: Mapping[str, SourcedValue]) -> SweepPlan:
    """Return the plan of a YAML file; raise SettingsError with all its faults.

    Every value is validated against the limits of its setting, so that no trial fails on one an hour later.
    """
    path = Path(file)
    if not path.is_file():
        raise SettingsError(f"There is no file {file}. Give a sweep plan, such as conf/sweeps/classifiers.yaml.")
    try:
        plan = SweepPlan(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except (yaml.YAMLError, TypeError) as error:
        raise SettingsError(f"{file} is not a YAML mapping: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        raise SettingsError([_format_error(file, fault) for fault in error.errors()]) from error
    if faults := [*_range_faults(plan), *_key_faults(plan, origins), *_value_faults(plan, origins)]:
        raise SettingsError([f"{file}: {fault}" for fault in faults])
    return plan


def _format_error(file: str, error: Any) -> str:
    parts = [str(part) for part in error["loc"] if part not in ("Range",) and "list[" not in str(part)]
    return f"{file}: {'.'.join(parts)}: {error['msg'][0].lower()}{error['msg'][1:]} (it is {error['input']!r})."


def _range_faults(plan: SweepPlan) -> list[str]:
    faults = []
    for key, values in plan.space.items():
        if isinstance(values, list):
            if len(set(map(str, values))) < len(values):
                faults.append(f"{key} has a duplicate value: {values}.")
            continue
        if plan.method == "grid":
            faults.append(f"{key} is a range, which a grid does not support. List its values, or set method: random.")
        if values.low >= values.high:
            faults.append(f"{key}: low is {values.low:g} and high {values.high:g}; low should be below high.")
        if values.log and values.low <= 0:
            faults.append(f"{key}: a log range must start above 0, not at {values.low:g}.")
        if values.integer and not (values.low.is_integer() and values.high.is_integer()):
            faults.append(f"{key}: an integer range needs whole limits, not {values.low:g} and {values.high:g}.")
    return faults


def _key_faults(plan: SweepPlan, origins: Mapping[str, SourcedValue]) -> list[str]:
    faults = []
    for key in plan.space:
        section, _, name = key.partition(".")
        if key in origins and key not in EXTRA_KEYS and (section != "train" or name in FIXED_KEYS):
            allowed = f"train.* except {', '.join(sorted(FIXED_KEYS))}; {', '.join(EXTRA_KEYS)}"
            faults.append(f"{key} cannot be swept: trials would not be comparable. Allowed: {allowed}.")
    return faults


def _value_faults(plan: SweepPlan, origins: Mapping[str, SourcedValue]) -> list[str]:
    faults: list[str] = []
    for key, value in plan.extremes():
        try:
            build_settings({**origins, key: SourcedValue(value, "the sweep")})
        except SettingsError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    return faults
