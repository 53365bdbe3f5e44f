"""What notebooks import beside stages and views: parameters, settings, the session, and a stage run as in a job."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from pyspark.sql import SparkSession

warnings.filterwarnings("ignore", "IProgress not found")  # MLflow's bars would like a widget; there are none

# ruff: noqa: E402 - what loads MLflow comes after it
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.demo.demo import demo_settings as with_sample_set
from pipelines.errors import SettingsError
from pipelines.notebooks.parameters import parameters
from pipelines.notebooks.parameters import settings_from_parameters as sourced_values
from pipelines.spark.session import get_session
from pipelines.stages.result import StageResult
from pipelines.stages.score.stage import require_backbone
from pipelines.workspace.free_space import clean_up_on_failure
from pipelines.workspace.hold import hold_workspace
from pipelines.workspace.tables import Tables

__all__ = ["demo_settings", "get_session", "parameters", "run", "scoring_settings", "settings_from_parameters"]


class Stage(Protocol):
    """Any of the modules in pipelines.stages that has `run`."""

    def run(self, spark: SparkSession, settings: Settings) -> StageResult: ...


def settings_from_parameters(given: Mapping[str, Any]) -> Settings:
    """Give the settings that a notebook's parameters ask for.

    `env`, `workspace`, `images`, `labels`, `backbone` and `weights` mean what the options of `irbis` of that name mean;
    `settings` holds further ones as after --set, separated by spaces: "train.max_iter=50 score.target_recall=0.95". What is
    empty says nothing. Other parameters are the notebook's own. Raises SettingsError with every fault.
    """
    return resolve_secrets(build_settings(sourced_values(given)))


def demo_settings(given: Mapping[str, Any]) -> Settings:
    """Give the same; where no images are named the sample set is drawn, and is what they are read from."""
    return resolve_secrets(build_settings(with_sample_set(sourced_values(given))))


def scoring_settings(given: Mapping[str, Any]) -> Settings:
    """Give the same for images that nobody has labelled: folders are no labels.

    Raises SettingsError where no images are named, ModelError if the model could not score them, before any is read.
    """
    if not given.get("images"):
        raise SettingsError("Parameter images is empty. Give the folder or the container with the new images.")
    origins = sourced_values(given)
    if not given.get("labels"):
        origins["sources.labels"] = SourcedValue("none", "a new set")
    settings = resolve_secrets(build_settings(origins))
    require_backbone(settings)
    return settings


def run(stage: Stage, spark: SparkSession, settings: Settings) -> StageResult:
    """Run a stage and hold its workspace meanwhile; what it says on the way is wiped from the notebook when it ends."""
    with hold_workspace(settings), clean_up_on_failure(Tables.of(spark, settings)):
        result = stage.run(spark, settings)
    if (shell := sys.modules.get("IPython")) and shell.get_ipython():
        from IPython.display import clear_output

        clear_output(wait=True)
    return result
