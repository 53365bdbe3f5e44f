"""Download, check and load models stored in MLflow. All loading goes through this module."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches
from pyspark.ml import PipelineModel

from pipelines.errors import ModelError
from pipelines.processes import temporary_folder
from pipelines.tracking.model_files import ALTERNATIVES, artifacts_digest, find_fault, missing_files_message
from pipelines.tracking.model_version import ModelVersion

DIGEST_TAG = "artifacts_sha256"  # the tag with the digest of a version's files
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")  # the stores differ
REQUIREMENTS = ["irbis"]  # of a model; MLflow would take half a minute to infer them
_log = logging.getLogger(__name__)


@contextmanager
def scratch_folder(workspace: str) -> Iterator[str | None]:
    """Yield a folder for temporary files that Spark's file system can reach; None on a cluster, for MLflow's own.

    What a killed process leaves there is removed by the next `irbis clean`.
    """
    if "://" in workspace:
        yield None
        return
    with temporary_folder(Path(workspace).expanduser().absolute() / "scratch") as folder:
        yield str(folder)


def ensure_registered(client: mlflow.MlflowClient, name: str) -> None:
    """Create a registered model if there is none of this name."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def load(client: mlflow.MlflowClient, version: ModelVersion, scratch: str | None) -> PipelineModel:
    """Load the model of a version after the checks of `require_unchanged`."""
    with require_unchanged(client, version, scratch) as folder:
        return mlflow.spark.load_model(str(folder), dfs_tmpdir=scratch)


@contextmanager
def require_unchanged(client: mlflow.MlflowClient, version: ModelVersion, scratch: str | None) -> Iterator[Path]:
    """Yield a folder with a private copy of a version's files, checked to be as registered.

    `scratch` is the parent folder, which Spark's file system must reach; None for the system's. Raises ModelError if
    files are missing or changed, or if loading them would run code from outside irbis.
    """
    with _download(client, version, scratch) as folder:
        if fault := find_fault(folder, version.tags.get(DIGEST_TAG)):
            raise ModelError(
                f"The files of {version} are not loaded: {fault}. Loading them could run foreign code here. "
                f"Restore {_artifact_uri(client, version)} from a backup; {ALTERNATIVES}."
            )
        if DIGEST_TAG not in version.tags:
            _log.warning("note: %s was registered by an older irbis, without a digest of its files.", version)
        yield folder


def digest(client: mlflow.MlflowClient, version: ModelVersion, scratch: str | None) -> str:
    """Return the digest of a version's files as downloaded from the store."""
    with _download(client, version, scratch) as folder:
        return artifacts_digest(folder)


def is_missing(error: Exception) -> bool:
    """Return whether a store's error means that a file is missing, rather than that the server does not answer."""
    return not isinstance(error, MlflowException) or error.error_code in NOT_FOUND_CODES


def missing_artifacts(client: mlflow.MlflowClient, version: ModelVersion, file: str) -> ModelError:
    """Return the error for a missing file of a version."""
    return ModelError(missing_files_message(str(version), file, _artifact_uri(client, version)))


@contextmanager
def _download(client: mlflow.MlflowClient, version: ModelVersion, scratch: str | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            uri = f"models:/{version.name}/{version.version}"
            found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        except (OSError, MlflowException) as error:
            if not is_missing(error):
                raise
            raise missing_artifacts(client, version, "MLmodel") from error
        if not (found / "MLmodel").is_file():
            raise missing_artifacts(client, version, "MLmodel")
        yield found


def _artifact_uri(client: mlflow.MlflowClient, version: ModelVersion) -> str:
    return str(client.get_run(version.run_id).info.artifact_uri)


def list_packages() -> None:
    """Let MLflow list the modules of all packages now (.6 s) instead of when it logs the first model."""
    warn_dependency_requirement_mismatches(REQUIREMENTS)
