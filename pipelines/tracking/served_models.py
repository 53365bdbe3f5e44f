"""Served models in MLflow: beside each registered version, a second model that takes images and needs no Spark.

It is stored with the run of its version, under `serving`, and registered as NAME_serving, since endpoints take
registered models. The two are separate models, so that the checks of the Spark model's files allow no code.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Map, Schema

from pipelines.errors import ModelError
from pipelines.tracking import stored_models
from pipelines.tracking.mlflow_client import CHAMPION, Tracking
from pipelines.tracking.model_files import SERVED_PATH, artifacts_digest
from pipelines.tracking.model_version import ModelVersion
from pipelines.tracking.served_files import DIGEST_TAG, MODEL, VERSION_TAG

SUFFIX = "_serving"  # of the registered model
CODE = "model_code.py"  # in this package
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "image"), ColSpec(DataType.string, "burst", required=False)]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "prediction"),
            ColSpec(DataType.double, "score"),
            ColSpec(Map(DataType.double), "probabilities"),
            ColSpec(DataType.string, "burst_prediction"),
            ColSpec(DataType.double, "burst_score"),
            ColSpec(DataType.boolean, "needs_review"),
            ColSpec(DataType.string, "failure"),
            ColSpec(DataType.string, "failure_detail"),
            ColSpec(DataType.string, "model_version"),
        ]
    ),
)


def register(tracking: Tracking, version: ModelVersion, folder: Path, requirements: Sequence[str]) -> str:
    """Store the served model in a folder named MODEL with the run of a version; return its own version's number.

    Raises ModelError if the server refuses it.
    """
    name, client = version.name + SUFFIX, tracking.client
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / SERVED_PATH
        save(folder, model, requirements)
        digest = artifacts_digest(model)
        try:
            client.log_artifacts(version.run_id, str(model), SERVED_PATH)
            stored_models.ensure_registered(client, name)
            source, description = f"runs:/{version.run_id}/{SERVED_PATH}", f"Serves {version}."
            served = client.create_model_version(name, source, version.run_id, description=description)
        except MlflowException as error:
            raise ModelError(f"MLflow refused {name}: {error}") from error
    tracking.tag(version, **{DIGEST_TAG: digest, VERSION_TAG: str(served.version)})
    return str(served.version)


def save(folder: Path, target: Path, requirements: Sequence[str]) -> None:
    """Write the served model in `folder` as an MLflow model, without pickle."""
    code = target.with_name(CODE)  # a copy, since this package may be in a zip
    code.write_bytes((resources.files(__package__) / CODE).read_bytes())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided")  # there is a signature
        mlflow.pyfunc.save_model(
            str(target),
            python_model=str(code),
            artifacts={MODEL: str(folder)},
            signature=SIGNATURE,
            pip_requirements=list(requirements),
        )


def set_champion(tracking: Tracking, version: ModelVersion) -> None:
    """Let the alias `champion` of the served models follow that of the Spark models."""
    name, number = version.name + SUFFIX, tracking.get_version(version.version).tags.get(VERSION_TAG)
    if number:
        tracking.client.set_registered_model_alias(name, CHAMPION, number)
        return
    try:  # a version of an earlier irbis: better none than another model
        tracking.client.delete_registered_model_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in stored_models.NOT_FOUND_CODES:
            raise


def delete(tracking: Tracking, version: ModelVersion) -> None:
    """Delete the registered model that serves a version, if there is one."""
    if number := version.tags.get(VERSION_TAG):
        tracking.client.delete_model_version(version.name + SUFFIX, number)
