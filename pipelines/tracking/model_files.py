"""Checks of a stored model's files: allowed contents, and a digest that shows changes since registration.

Spark's reader imports and runs the classes that a model's files name, and MLflow adds a model's `code` to Python's
path. So the files are checked before either reads them.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

DATA = "sparkml"  # the folder of Spark's own files
OWN_CLASSES = (
    "pipelines.classifiers.transformers.ArrayToVector",
    "pipelines.classifiers.transformers.TemperatureScaling",
)
CLASSES = frozenset(
    (
        *OWN_CLASSES,
        "org.apache.spark.ml.classification.LogisticRegressionModel",
        "org.apache.spark.ml.classification.RandomForestClassificationModel",
        "org.apache.spark.ml.feature.PCAModel",
        "org.apache.spark.ml.feature.StandardScalerModel",
        "com.microsoft.azure.synapse.ml.lightgbm.LightGBMClassificationModel",
    )
)
SERVED_PATH = "serving"  # of the MLflow model that serves a version, among the artifacts of the version's run
ALTERNATIVES = (
    "or choose another version: `irbis promote VERSION --reason ...`; or train under another name: "
    "--set tracking.model=NAME"
)
_PIPELINE = "pyspark.ml.pipeline.PipelineModel"
_WRITTEN_BY_DOWNLOADS = "registered_model_meta"  # added by MLflow to each downloaded copy


def artifacts_digest(folder: Path) -> str:
    """Return the SHA-256, hex, of the names and contents of all files of a downloaded model."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != _WRITTEN_BY_DOWNLOADS:
            digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def missing_files_message(version: str, file: str, location: str) -> str:
    """Return the error message for a missing file of a version."""
    return f"{file} of {version} is missing from {location}. Restore it from a backup; {ALTERNATIVES}."


def find_fault(folder: Path, digest: str | None) -> str:
    """Return why a downloaded model must not be loaded; "" if it is safe.

    `digest` is the one stored at registration; None if none was stored.
    """
    try:
        fault = _descriptor_fault(folder) or _pipeline_fault(folder / DATA)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        fault = f"they cannot be read as a model of irbis: {type(error).__name__}: {error}"
    if not fault and digest is not None and artifacts_digest(folder) != digest:
        fault = "they have changed since registration: their SHA-256 differs"
    return fault


def _descriptor_fault(folder: Path) -> str:
    """Return the code that MLflow would run besides Spark's files; "" if none."""
    if any(file.is_symlink() for file in folder.rglob("*")):
        return "there are symbolic links among them"
    if (folder / "code").exists():
        return "there is a folder `code`, which MLflow would run"
    flavors = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))["flavors"]
    for name, flavor in flavors.items():
        if flavor.get("code") is not None:
            return f"MLmodel refers to code: {flavor['code']}"
        if name not in ("spark", "python_function"):
            return f"MLmodel has the flavor {name}"
    loader = flavors.get("python_function", {}).get("loader_module", "mlflow.spark")
    if loader != "mlflow.spark":
        return f"MLmodel has the loader_module {loader}"
    spark = flavors["spark"]
    if (spark["model_data"], spark.get("model_class", _PIPELINE)) != (DATA, _PIPELINE):
        return f"MLmodel names {spark['model_data']} of the class {spark.get('model_class')}"
    return ""


def _pipeline_fault(folder: Path) -> str:
    """Return the foreign class, or the path outside the model, that Spark's reader would follow; "" if none."""
    pipeline = _metadata(folder)
    if pipeline["class"] != _PIPELINE or pipeline["paramMap"].get("language") != "Python":
        return f"the pipeline is of the class {pipeline['class']}"
    uids = pipeline["paramMap"]["stageUids"]
    width = len(str(len(uids)))
    for i, uid in enumerate(uids):
        if not re.fullmatch(r"\w+", uid, re.ASCII):
            return f"a stage is called {uid!r}"
        name = _metadata(folder / "stages" / f"{str(i).zfill(width)}_{uid}")["class"]
        if name not in CLASSES:
            return f"a stage is of the class {name}, which irbis does not use"
    return ""


def _metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a stage as Spark reads it: the first line of its only metadata file."""
    files = sorted(file.name for file in (folder / "metadata").iterdir() if not file.name.startswith(("_", ".")))
    if files != ["part-00000"]:
        raise ValueError(f"metadata of {folder.name} is {', '.join(files) or 'empty'}, not part-00000")
    text = (folder / "metadata" / files[0]).read_bytes().decode("utf-8")
    return dict(json.loads(re.split(r"[\r\n]", text, maxsplit=1)[0]))
