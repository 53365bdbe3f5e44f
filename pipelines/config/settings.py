"""Types and limits of every setting. Defaults are in conf/base.yaml; loader.py loads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from pipelines.config.section import SettingsSection
from pipelines.config.services import DatabricksSettings, HdinsightSettings, Spark
from pipelines.config.types import (
    Digests,
    Fraction,
    Fractions,
    Hosts,
    Label,
    Labels,
    StorageUri,
    StringList,
    Text,
    parse_json,
    parse_mapping,
    split_commas,
    validate_columns,
    validate_folds,
    validate_labels,
    validate_recall,
    validate_station,
    validate_views,
)
from pipelines.metrics.registry import validate_gate_metric

ENV_PREFIX = "IRBIS_"


class Sources(SettingsSection):
    dataset: str | None
    images: str | None
    labels: Annotated[str, AfterValidator(validate_labels)]
    columns: Annotated[dict[str, str], BeforeValidator(parse_mapping), AfterValidator(validate_columns)]
    station: Annotated[str, AfterValidator(validate_station)]
    extensions: Annotated[StringList, Field(min_length=1)]
    label_case: Literal["refuse", "lower", "keep"]


class Azure(SettingsSection):
    account_key: SecretStr | None
    sas: SecretStr | None
    connection_string: SecretStr | None
    hosts: Hosts

    @property
    def credentials(self) -> dict[str, str]:
        """Return the credentials that are set, by name."""
        return {name: value.get_secret_value() for name, value in self if isinstance(value, SecretStr)}


class Images(SettingsSection):
    max_megabytes: Annotated[float, Field(gt=0)]
    max_megapixels: Annotated[float, Field(gt=0)]
    max_seconds: Annotated[float, Field(ge=1, le=86400)]
    resize_mode: Literal["squash", "crop", "pad"]
    size: Annotated[int, Field(ge=16, le=2048)] | None
    crop_bottom: Fraction

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 2**20)

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1e6)


class Ingest(SettingsSection):
    burst_gap_seconds: Annotated[float, Field(ge=0)]
    group_gap_minutes: Annotated[float, Field(ge=0)]
    files_per_commit: Annotated[int, Field(ge=1)]
    partition_megabytes: Annotated[int, Field(ge=1, le=512)]  # a task that holds gigabytes ends the JVM
    threads: Annotated[int, Field(ge=1, le=256)]
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)]
    max_removed_fraction: Annotated[float, Field(ge=0, le=1)]
    keep_removed_days: Annotated[float, Field(ge=0, le=36500)]
    poll_seconds: Annotated[float, Field(ge=1)]


Precision = Literal["exact", "fast"]
EngineName = Literal["auto", "openvino", "torch"]


class Featurize(SettingsSection):
    backbone: str
    weights: str | None
    weights_sha256: Digests
    weights_cache: str
    precision: Precision
    engine: EngineName
    device: Literal["auto", "cpu", "cuda"]
    batch_size: Annotated[int, Field(ge=1)] | None
    horizontal_flip: bool
    views: Annotated[StringList, AfterValidator(validate_views)]
    images_per_commit: Annotated[int, Field(ge=1)]


class Detect(SettingsSection):
    detector: str | None
    classes: Annotated[StringList, Field(min_length=1)]
    categories: Annotated[dict[str, Literal["animal", "person", "vehicle"]], BeforeValidator(parse_mapping)]
    input_size: Annotated[int, Field(ge=32, le=4096)] | None
    output: Literal["auto", "yolo", "yolo_nms", "rtdetr"]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    images_per_commit: Annotated[int, Field(ge=1)]


SYNAPSEML = "com.microsoft.azure:synapseml-lightgbm_2.12:1.1.3"  # Scala 2.12, as Spark 3 has it
SYNAPSEML_PYTHON = f"synapseml=={SYNAPSEML.rpartition(':')[2]}"
ClassifierName = Literal["logistic_regression", "lightgbm", "random_forest"]
BurstAggregation = Literal["auto", "mean", "max", "none"]


class Train(SettingsSection):
    fractions: Fractions
    split_salt: str
    exclude_labels: Labels
    classes_of_interest: Labels
    min_groups_per_class: Annotated[int, Field(ge=1)]
    burst_aggregation: BurstAggregation
    class_weights: Literal["balanced", "none"]
    cv_folds: Annotated[int, Field(ge=0, le=20), AfterValidator(validate_folds)]
    classifier: ClassifierName
    pca_components: Annotated[int, Field(ge=1)] | None
    reg_params: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1), BeforeValidator(split_commas)]
    elastic_net: Annotated[float, Field(ge=0, le=1)]
    max_iter: Annotated[int, Field(ge=1)]
    max_in_memory_values: Annotated[int, Field(ge=0)]
    num_trees: Annotated[int, Field(ge=1, le=10_000)]
    max_depth: Annotated[int, Field(ge=1, le=30)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    min_samples_leaf: Annotated[int, Field(ge=1)]
    lambda_l2: Annotated[float, Field(ge=0)]
    feature_fraction: Annotated[float, Field(gt=0, le=1)]
    label_errors: Literal["self_confidence", "cleanlab"]
    gate_metric: Annotated[str, AfterValidator(validate_gate_metric)]
    bootstrap_resamples: Annotated[int, Field(ge=100)]


class Score(SettingsSection):
    model_version: Annotated[str, Field(pattern=r"^(champion|\d+)$", coerce_numbers_to_str=True)]
    target_recall: Annotated[float, AfterValidator(validate_recall)]
    recall_unit: Literal["image", "burst", "group"]
    review_threshold: Annotated[float, Field(ge=0, le=1)]

    @property
    def review_rule(self) -> str:
        """Return a text that changes with every setting that `needs_review` follows."""
        return f"recall {self.target_recall:g} of {self.recall_unit}, else {self.review_threshold:g}"


class Report(SettingsSection):
    title: str
    gallery_size: Annotated[int, Field(ge=0, le=200)]


class LabelMeaning(SettingsSection):
    """What a label means to the other programs."""

    type: Literal["animal", "human", "vehicle", "blank", "unknown", "unclassified"] = "animal"
    scientific_name: str | None = None


SamplingDesign = Literal[
    "simpleRandom", "systematicRandom", "clusteredRandom", "experimental", "targeted", "opportunistic"
]


class ExportSettings(SettingsSection):
    deployments: str | None
    labels: Annotated[dict[Label, LabelMeaning], BeforeValidator(parse_json)]
    leave_out_people: bool
    coordinate_decimals: Annotated[int, Field(ge=0, le=6)] | None
    time_zone: str | None
    columns: Annotated[dict[str, str], BeforeValidator(parse_mapping)]
    title: str | None
    contributor: str | None
    sampling_design: SamplingDesign
    capture_method: Literal["activityDetection", "timeLapse", "both"]


class TrackingSettings(SettingsSection):
    uri: str | None
    registry_uri: str | None
    experiment: Text
    model: Text


class TablesSettings(SettingsSection):
    schema_: Annotated[str | None, Field(alias="schema")]


class Runs(SettingsSection):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")] | None
    history_dir: Text
    poll_seconds: Annotated[float, Field(gt=0)]


class Clean(SettingsSection):
    keep_runs_days: Annotated[float, Field(ge=0, le=36500)]
    keep_cache_days: Annotated[float, Field(ge=0, le=36500)]


class Settings(SettingsSection):
    """All settings, by section. Built by `load_settings`, which merges the sources."""

    workspace: StorageUri
    sources: Sources
    azure: Azure
    images: Images
    ingest: Ingest
    detect: Detect
    featurize: Featurize
    train: Train
    score: Score
    report: Report
    export: ExportSettings
    tracking: TrackingSettings
    tables: TablesSettings
    spark: Spark
    runs: Runs
    clean: Clean
    databricks: DatabricksSettings
    hdinsight: HdinsightSettings
