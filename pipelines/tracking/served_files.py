"""Find the files of the model that serves a version, without MLflow and Spark if they are on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.errors import ModelError
from pipelines.tracking.local_champion import find_version, local_artifact_root
from pipelines.tracking.model_files import ALTERNATIVES, SERVED_PATH, artifacts_digest
from pipelines.tracking.model_version import ModelVersion

MODEL = "model"  # of the predictor's files, among the artifacts of the MLflow model
DIGEST_TAG, VERSION_TAG = "served_sha256", "served_version"  # of the Spark model's version


@contextmanager
def open_served_model(settings: Settings) -> Iterator[tuple[ModelVersion, Path]]:
    """Yield the version of score.model_version, and a folder with the MLflow model that serves it.

    The files for `Predictor.load` are in its folder `predictor_folder`. They are checked to be as registered, because
    MLflow runs their code. Raises ModelError if there is no version, or no served model, or if files have changed.
    """
    version = find_version(settings)
    if version is None:
        raise ModelError(
            f"Model {settings.tracking.model} has no version {settings.score.model_version}. Run `irbis train` first."
        )
    if DIGEST_TAG not in version.tags:
        raise ModelError(
            f"{version} has no served model: it was trained by an earlier irbis, or train said why. Train again, or "
            "choose another version: --set score.model_version=N."
        )
    if root := local_artifact_root(settings, version):
        _require_unchanged(root / SERVED_PATH, version)
        yield version, root / SERVED_PATH
        return
    from pipelines.tracking.mlflow_client import Tracking

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(Tracking.of(settings).client.download_artifacts(version.run_id, SERVED_PATH, scratch))
        _require_unchanged(folder, version)
        yield version, folder


def predictor_folder(model: Path) -> Path:
    """Return the folder for `Predictor.load` in the files of an MLflow model."""
    return model / "artifacts" / MODEL


def _require_unchanged(model: Path, version: ModelVersion) -> None:
    """Raise ModelError if the files of an MLflow model are not those that were registered to serve a version."""
    if not (model / "MLmodel").is_file():
        raise ModelError(
            f"The served model of {version} is missing from {model}. Restore it from a backup; {ALTERNATIVES}."
        )
    for cache in list(model.rglob("__pycache__")):  # of the model's code, left by another program that ran it in place
        shutil.rmtree(cache, ignore_errors=True)
    if artifacts_digest(model) != version.tags[DIGEST_TAG]:
        raise ModelError(
            f"The served model of {version} is not loaded: its files in {model} have changed since registration (their "
            f"SHA-256 differs). Loading them could run foreign code here. Restore them from a backup; {ALTERNATIVES}."
        )
