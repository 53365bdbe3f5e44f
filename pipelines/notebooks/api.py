"""API of notebooks: parameters, settings, the session, and running a stage."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from pyspark.sql import SparkSession

warnings.filterwarnings("ignore", "IProgress not found")  # MLflow's progress bars look for a widget

# ruff: noqa: E402 - the imports below load MLflow, so the filter comes first
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.demo.demo import with_sample_set
from pipelines.errors import SettingsError
from pipelines.notebooks.parameters import parameters, sourced_values
from pipelines.spark.session import get_session
from pipelines.stages.result import StageResult
from pipelines.stages.score.stage import require_backbone
from pipelines.workspace.free_space import clean_up_on_failure
from pipelines.workspace.hold import hold_workspace
from pipelines.workspace.tables import Tables

__all__ = ["demo_settings", "get_session", "parameters", "run", "scoring_settings", "settings_from_parameters"]


class Stage(Protocol):
    """A stage module: anything with `run(spark, settings) -> StageResult`."""

    def run(self, spark: SparkSession, settings: Settings) -> StageResult: ...


def settings_from_parameters(values: Mapping[str, Any]) -> Settings:
    """Return the settings for a notebook's parameters.

    `env`, `workspace`, `images`, `labels`, `backbone` and `weights` have the meaning of the `irbis` options of that
    name. `settings` holds further settings as for --set, separated by spaces: "train.max_iter=50
    score.target_recall=0.95". Empty values and other parameters are ignored. Raises SettingsError with all faults.
    """
    return resolve_secrets(build_settings(sourced_values(values)))


def demo_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings for a notebook's parameters; without `images`, draw the sample set and use it."""
    return resolve_secrets(build_settings(with_sample_set(sourced_values(values))))


def scoring_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings for scoring new images: without `labels`, folder names are not read as labels.

    Raises SettingsError without `images`, ModelError if the model cannot score them, before any image is read.
    """
    if not values.get("images"):
        raise SettingsError("Parameter images is empty. Set it to the folder or container of the new images.")
    sourced = sourced_values(values)
    if not values.get("labels"):
        sourced["sources.labels"] = SourcedValue("none", "scoring_settings")
    settings = resolve_secrets(build_settings(sourced))
    require_backbone(settings)
    return settings


def run(stage: Stage, spark: SparkSession, settings: Settings) -> StageResult:
    """Run a stage while holding the lock of its workspace; in a notebook, clear its progress output afterwards.

    Raises PlatformError if another run holds the workspace.
    """
    with hold_workspace(settings), clean_up_on_failure(Tables.of(spark, settings)):
        result = stage.run(spark, settings)
    if (shell := sys.modules.get("IPython")) and shell.get_ipython():
        from IPython.display import clear_output

        clear_output(wait=True)
    return result
