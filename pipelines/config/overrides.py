"""Settings with short names: options of the command, and parameters of notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.config.loader import SourcedValue, load_sourced_values
from pipelines.errors import SettingsError
from pipelines.redaction import redact

SETTING_OPTIONS = {
    "images": ("sources.images", "DIR", "Folder of images, including its subfolders."),
    "dataset": ("sources.dataset", "NAME", "Dataset registered by `irbis datasets add`, instead of --images."),
    "labels": (
        "sources.labels",
        "CSV",
        "Labels: a CSV, Parquet or COCO file, a Camtrap DP package, `folder`, `folder:N` or `none`.",
    ),
    "workspace": ("workspace", "DIR", "Folder of tables, MLflow's database, reports and logs."),
    "backbone": ("featurize.backbone", "NAME", "Pretrained network that computes the features; join several by +."),
    "weights": ("featurize.weights", "FILE", "Its weights, .safetensors or .pth."),
}


def collect_settings(env: str | None, assignments: Iterable[str], named: Mapping[str, Any]) -> dict[str, SourcedValue]:
    """Return the sourced values for the shared options: --env, --set and the short names."""
    overrides: dict[str, Any] = dict(_parse_assignment(text) for text in assignments)
    for name, (key, _, _) in SETTING_OPTIONS.items():
        if named.get(name) is not None:
            overrides[key] = SourcedValue(named[name], f"--{name}")
    _choose_source(overrides)
    return load_sourced_values(env, overrides)


def _choose_source(overrides: dict[str, Any]) -> None:
    """Make --images and --dataset override each other's value in a file; raise SettingsError if both are given."""
    named = [key for key in ("sources.images", "sources.dataset") if key in overrides]
    if len(named) == 2:
        raise SettingsError("--images and --dataset exclude each other. Give one of them.")
    if named:
        other = "sources.dataset" if named == ["sources.images"] else "sources.images"
        overrides[other] = SourcedValue(None, "the command line")


def _parse_assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {redact(text)}: write KEY=VALUE, such as --set train.max_iter=50.")
    return key.strip(), value.strip()
