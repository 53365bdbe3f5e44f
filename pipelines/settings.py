"""The types and limits of every setting. Values stand in conf/base.yaml; config.py loads them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "IRBIS_"


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[] ").split(",") if part.strip()]
    return value


def _parse_mapping(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _sums_to_one(fractions: list[float]) -> list[float]:
    if abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"train, validation and test must sum to 1, not {sum(fractions):g}")
    return fractions


Words = Annotated[list[str], BeforeValidator(_split_commas)]
Numbers = Annotated[list[float], BeforeValidator(_split_commas)]
Fractions = Annotated[
    list[Annotated[float, Field(gt=0, lt=1)]],
    Field(min_length=3, max_length=3),
    BeforeValidator(_split_commas),
    AfterValidator(_sums_to_one),
]
Share = Annotated[float, Field(ge=0, lt=1)]
Rule = r"^(none|exif|folder:-?[1-9]\d*|regex:.+)$"


class Section(BaseModel):
    """Stand above every group of settings: nothing unknown, nothing changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sources(Section):
    images: str | None
    labels: str
    station: Annotated[str, Field(pattern=Rule)]
    extensions: Words


class Images(Section):
    max_megabytes: Annotated[float, Field(gt=0)]
    max_megapixels: Annotated[float, Field(gt=0)]
    fit: Literal["squash", "crop", "pad"]
    size: Annotated[int, Field(ge=16, le=2048)] | None
    crop_bottom: Share

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 2**20)

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1e6)


class Ingest(Section):
    burst_gap_seconds: Annotated[float, Field(ge=0)]
    group_gap_minutes: Annotated[float, Field(ge=0)]
    files_per_commit: Annotated[int, Field(ge=1)]
    partition_megabytes: Annotated[int, Field(ge=1)]


class Featurize(Section):
    backbone: str
    weights: str | None
    weights_cache: str
    batch_size: Annotated[int, Field(ge=1)]
    device: Literal["auto", "cpu", "cuda"]
    pictures_per_commit: Annotated[int, Field(ge=1)]


class Train(Section):
    fractions: Fractions
    split_salt: str
    exclude_labels: Words
    class_weights: Literal["balanced", "none"]
    reg_params: Annotated[Numbers, Field(min_length=1)]
    elastic_net: Annotated[float, Field(ge=0, le=1)]
    max_iter: Annotated[int, Field(ge=1)]
    gate_metric: Literal["accuracy", "balanced_accuracy", "macro_f1"]
    bootstrap: Annotated[int, Field(ge=100)]


class Score(Section):
    model_version: Annotated[str, Field(pattern=r"^(champion|\d+)$", coerce_numbers_to_str=True)]
    review_below: Annotated[float, Field(ge=0, le=1)]


class Report(Section):
    title: str
    pictures: Annotated[int, Field(ge=0, le=200)]


class Tracking(Section):
    uri: str | None
    registry_uri: str | None
    experiment: str
    model: str


class Tables(Section):
    schema_: Annotated[str | None, Field(alias="schema")]


class Spark(Section):
    master: str
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mgMG]$")]
    conf: Annotated[dict[str, str | int | float | bool], BeforeValidator(_parse_mapping)]


class Settings(BaseSettings):
    """Everything a stage may be told, by section. Built by `load_settings`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="null",
    )

    workspace: str
    sources: Sources
    images: Images
    ingest: Ingest
    featurize: Featurize
    train: Train
    score: Score
    report: Report
    tracking: Tracking
    tables: Tables
    spark: Spark

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, **_: Any) -> tuple[Any, ...]:
        # load_settings merges the sources itself, to know where each value comes from.
        return (init_settings,)
