"""MLflow: runs, registered model versions, `champion` and `challenger`."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema
from pyspark.ml import PipelineModel

from pipelines.azure.hadoop import artifact_credentials_env, artifact_root, has_folder_markers
from pipelines.config.settings import Settings
from pipelines.errors import ModelError
from pipelines.tracking import stored_models
from pipelines.tracking.code_version import code_version
from pipelines.tracking.local_store import (
    explain_schema_mismatch,
    sqlite_tracking_uri,
    suppress_logging,
    truncate_description,
)
from pipelines.tracking.model_version import TAG_PREFIX, ModelVersion, Tags, encode_tags
from pipelines.tracking.new_database import create_database
from pipelines.tracking.stored_models import DIGEST_TAG, NOT_FOUND_CODES, scratch_folder

CHAMPION, CHALLENGER = "champion", "challenger"  # aliases; at most one version has each
EVALUATION = "evaluation.json"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for noisy in ("alembic", "mlflow", "mlflow.store.db.utils", "mlflow.utils.environment", "py4j"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
# MLflow 2 resets log levels when it opens its database: alembic needs a filter as well.
logging.getLogger("alembic.runtime.migration").addFilter(lambda record: record.levelno >= logging.WARNING)


@dataclass(frozen=True)
class Tracking:
    """Runs, versions and aliases of one registered model."""

    client: mlflow.MlflowClient
    experiment_id: str
    model: str
    workspace: str
    on_catalog: bool = False  # Unity Catalog's tags allow no dots and few characters: tags of versions go to their runs

    @classmethod
    def of(cls, settings: Settings) -> Tracking:
        """Connect to the tracking server in the settings, by default SQLite in the workspace."""
        config = settings.tracking
        uri = config.uri
        if uri is None and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
            uri = sqlite_tracking_uri(settings)
        os.environ.update(artifact_credentials_env(settings))
        if uri:
            create_database(uri, settings.workspace)
            mlflow.set_tracking_uri(uri)
        if config.registry_uri or uri:
            mlflow.set_registry_uri(config.registry_uri or uri)
        with suppress_logging(), explain_schema_mismatch(uri):
            client = mlflow.MlflowClient()
            experiment = client.get_experiment_by_name(config.experiment)
        has_server = not re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri or "")  # a server has its own artifact root
        location = None if has_server else artifact_root(settings.workspace)
        identifier = experiment.experiment_id if experiment else client.create_experiment(config.experiment, location)
        on_catalog = (config.registry_uri or "").startswith("databricks-uc")
        return cls(client, identifier, config.model, settings.workspace, on_catalog)

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Start a run and yield its id; it ends as FINISHED, or FAILED if the block raises.

        A run that is open in the notebook, or named by MLFLOW_RUN_ID, is left untouched.
        """
        process = {f"{TAG_PREFIX}process": f"{socket.gethostname()}:{os.getpid()}"}  # for mark_stale_runs_killed
        os.environ.pop("MLFLOW_RUN_ID", None)  # a run of another program, perhaps on another server
        with mlflow.start_run(experiment_id=self.experiment_id, run_name=name, tags=process, nested=True) as run:
            self.log(tags={**code_version(), **tags})
            yield run.info.run_id

    def mark_stale_runs_killed(self) -> None:
        """Mark runs whose process on this machine no longer exists as KILLED; they would stay RUNNING for ever."""
        for run in self.client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'"):
            host, _, pid = run.data.tags.get(f"{TAG_PREFIX}process", "").partition(":")
            if host == socket.gethostname() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
                self.client.set_terminated(run.info.run_id, "KILLED")

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float | None] | None = None,
        texts: Mapping[str, str] | None = None,
        figures: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log to the active run; texts and figures by file name, metrics that are None left out."""
        mlflow.set_tags(encode_tags(tags or {}, lambda file, text: mlflow.log_text(text, file)))
        mlflow.log_params({key: str(value)[:6000] for key, value in (params or {}).items()})
        mlflow.log_metrics({key: value for key, value in (metrics or {}).items() if value is not None})
        for file, text in (texts or {}).items():
            mlflow.log_text(text, file)
        for file, figure in (figures or {}).items():
            mlflow.log_figure(figure, file)

    def register(self, model: PipelineModel, run_id: str, tags: Mapping[str, str], card: str) -> ModelVersion:
        """Log the model with its signature to the active run, and return its new version."""
        signature = ModelSignature(
            inputs=Schema([ColSpec(Array(DataType.float), "features")]),
            outputs=Schema([ColSpec(DataType.double, "prediction")]),
        )
        requirements = stored_models.REQUIREMENTS
        options = {"artifact_path": "model", "signature": signature, "pip_requirements": requirements}
        with scratch_folder(self.workspace) as scratch:
            if has_folder_markers(mlflow.get_artifact_uri()):  # written by Spark, MLflow would read them as files
                info = Model.log(flavor=mlflow.spark, spark_model=model, dfs_tmpdir=scratch, **options)
            else:
                info = mlflow.spark.log_model(model, dfs_tmpdir=scratch, **options)
        stored_models.ensure_registered(self.client, self.model)
        if self.on_catalog:
            self.log(tags=tags)
        version_tags = None if self.on_catalog else self._encode_tags(tags, run_id)
        version = self._to_model_version(
            self.client.create_model_version(
                self.model, info.model_uri, run_id, tags=version_tags, description=truncate_description(card)
            )
        )
        with scratch_folder(self.workspace) as scratch:
            self.tag(version, **{DIGEST_TAG: stored_models.digest(self.client, version, scratch)})
        return version

    def champion(self) -> ModelVersion | None:
        """Return the version that `score` uses; None if there is none yet."""
        return self._get_by_alias(CHAMPION)

    def challenger(self) -> ModelVersion | None:
        """Return the newest version that did not beat the champion; None if there is none since its promotion."""
        return self._get_by_alias(CHALLENGER)

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Set an alias to a version, removing it from any other."""
        self.client.set_registered_model_alias(self.model, alias, version.version)

    def delete_alias(self, alias: str) -> None:
        """Delete an alias, which a version must have."""
        self.client.delete_registered_model_alias(self.model, alias)

    def tag(self, version: ModelVersion, **tags: str) -> None:
        for key, value in self._encode_tags(tags, version.run_id).items():
            if self.on_catalog:
                self.client.set_tag(version.run_id, key, value)
            else:
                self.client.set_model_version_tag(self.model, version.version, key, value)

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the newest first."""
        versions = self.client.search_model_versions(f"name='{self.model}'")
        return sorted(map(self._to_model_version, versions), key=lambda version: -int(version.version))

    def delete(self, version: ModelVersion) -> None:
        """Delete a version; raise ModelError for the champion, which `score` uses."""
        champion = self.champion()
        if champion and champion.version == version.version:
            raise ModelError(f"{version} is champion and cannot be deleted. First promote another: `irbis promote`.")
        self.client.delete_model_version(self.model, version.version)

    def get_version(self, wanted: str) -> ModelVersion:
        """Return the champion, or a version by its number; raise ModelError with the known ones if there is none."""
        champion = self.champion()
        if wanted == CHAMPION:
            if champion is None:
                raise ModelError(f"Model {self.model} has no champion. Run `irbis train` first.")
            return champion
        versions = self.versions()
        for each in versions:
            if each.version == wanted:
                return each
        known = ", ".join(each.version for each in versions) or "none"
        raise ModelError(f"Model {self.model} has no version {wanted}. Known: {known}.")

    def load(self, version: ModelVersion) -> PipelineModel:
        """Load a version's model, after the checks of `stored_models.require_unchanged`."""
        with scratch_folder(self.workspace) as scratch:
            return stored_models.load(self.client, version, scratch)

    def save(self, version: ModelVersion, target: Path) -> None:
        """Copy a version's files into a folder, after the same checks."""
        with (
            scratch_folder(self.workspace) as scratch,
            stored_models.require_unchanged(self.client, version, scratch) as folder,
        ):
            shutil.copytree(folder, target, dirs_exist_ok=True)

    def verify(self, version: ModelVersion) -> None:
        """Raise ModelError if a version's files are missing, changed, or would run code from outside irbis."""
        with scratch_folder(self.workspace) as scratch, stored_models.require_unchanged(self.client, version, scratch):
            pass

    def params(self, version: ModelVersion) -> dict[str, str]:
        """Return the parameters logged when the version was trained."""
        return dict(self.client.get_run(version.run_id).data.params)

    def read_json(self, version: ModelVersion, file: str) -> dict[str, Any]:
        """Return a JSON file of the version's run."""
        try:
            return dict(json.loads(self._read(version.run_id, file)))
        except (OSError, MlflowException) as error:
            if not stored_models.is_missing(error):
                raise
            raise stored_models.missing_artifacts(self.client, version, file) from error

    def _read(self, run_id: str, file: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, file, folder)).read_text(encoding="utf-8")

    def _encode_tags(self, tags: Mapping[str, str], run_id: str) -> dict[str, str]:
        return encode_tags(tags, lambda file, text: self.client.log_text(run_id, text, file))

    def _get_by_alias(self, alias: str) -> ModelVersion | None:
        try:
            found = self.client.get_model_version_by_alias(self.model, alias)
        except MlflowException as error:
            if error.error_code in NOT_FOUND_CODES:
                return None
            raise  # an unreachable server does not mean that there is no champion
        return self._to_model_version(found)

    def _to_model_version(self, found: MlflowVersion) -> ModelVersion:
        there = self.client.get_run(found.run_id).data.tags if self.on_catalog else found.tags
        tags = Tags(there, lambda file: self._read(found.run_id, file))
        return ModelVersion(found.name, str(found.version), found.run_id, int(found.creation_timestamp), tags)
