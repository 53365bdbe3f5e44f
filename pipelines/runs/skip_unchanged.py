"""Detect that nothing has changed since the last complete run, before Spark starts, which takes longer.

After `irbis run` and `irbis demo` the workspace keeps digests of the inputs (settings; names, sizes and dates of the
images; labels; journals of decisions; weights; this package) and of the outputs (tables, models, report). If both are
unchanged, there is nothing to do. A single stage, such as `irbis ingest`, always reads the tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pipelines
from pipelines.atomic_write import write_atomic
from pipelines.backbones import resolve_weights_files
from pipelines.config.settings import Settings
from pipelines.reports.staleness import REPORT_PATH
from pipelines.schemas import Failure
from pipelines.sources.camtrap_package import is_package, package_files
from pipelines.sources.labels import is_labels_file
from pipelines.sources.registry import open_source
from pipelines.spark.runtime import is_external_session
from pipelines.stages.result import StageResult
from pipelines.workspace.journal_files import find_journals
from pipelines.workspace.location import workspace_uri

LAST_RUN_FILE = ".last_run.json"  # in the workspace
MAX_HASHED_BYTES = 2**28  # larger labels files are compared by size and date only


@dataclass(frozen=True)
class LastRun:
    """Digests of a run's inputs and outputs, and the result each stage would have if run again."""

    inputs: str
    outputs_digest: str
    stages: list[dict[str, Any]]
    due: str | None = None  # time at which a stage has work again even without changes: ISO 8601, UTC


def input_digest(settings: Settings) -> str | None:
    """Return the digest of a run's inputs; None if they cannot be known without Spark or a server.

    That is the case in a cluster's session, if tables or models are on a server, or if the source is a dataset.
    Raises DataError or AccessError if the source cannot be listed.
    """
    tracking = settings.tracking
    is_remote = settings.tables.schema_ or settings.sources.dataset or "://" in settings.workspace
    if is_external_session() or is_remote or tracking.uri or tracking.registry_uri:
        return None
    source = open_source(settings)
    digest = hashlib.sha256(settings.model_dump_json(exclude={"runs", "clean", "databricks"}).encode())
    for blob in source.list():
        digest.update(repr((blob.path, blob.size, blob.etag)).encode("utf-8", "surrogatepass"))
    labels = settings.sources.labels
    if is_labels_file(labels) and "://" in labels:
        digest.update(source.read_file(labels))
    label_files = _files(Path(labels).expanduser()) if is_labels_file(labels) else []
    for file in label_files:
        digest.update(_content_digest(file))
    code = Path(pipelines.__file__).parent.rglob("*.py")
    journals = find_journals(workspace_uri(settings))  # decisions that are not yet in the tables
    digest.update(_file_states([*label_files, *journals, *resolve_weights_files(settings.featurize), *sorted(code)]))
    return digest.hexdigest()


def cached_results(settings: Settings, inputs: str | None) -> list[StageResult]:
    """Return the results the stages would have if nothing is to be done; an empty list if something is."""
    try:
        last = (
            LastRun(**json.loads(Path(workspace_uri(settings), LAST_RUN_FILE).read_text("utf-8"))) if inputs else None
        )
    except (OSError, ValueError, TypeError):  # no file, or one of another version
        last = None
    if last is None or last.inputs != inputs or last.outputs_digest != _outputs_digest(settings):
        return []
    if last.due and datetime.fromisoformat(last.due) <= datetime.now(timezone.utc):
        return []
    return [StageResult(each["stage"], outcome=each["outcome"], notes=tuple(each["notes"])) for each in last.stages]


def save_digest(settings: Settings, inputs: str | None, results: Sequence[StageResult]) -> None:
    """Save the digests of a complete run, unless images have transient failures, which the next run retries."""
    transient = {str(failure) for failure in Failure if failure.is_transient}
    if inputs is None or any(transient & set(result.failures) for result in results):
        return
    stages = [{"stage": r.stage, "outcome": r.noop_outcome or r.outcome, "notes": r.persistent_notes} for r in results]
    due = min((result.due for result in results if result.due), default=None)
    last = LastRun(inputs, _outputs_digest(settings), stages, due.isoformat() if due else None)
    write_atomic(Path(workspace_uri(settings), LAST_RUN_FILE), json.dumps(asdict(last)).encode())


def _outputs_digest(settings: Settings) -> str:
    """Return the digest of the workspace's files that change with every write: tables, MLflow's files, the report."""
    folder = Path(workspace_uri(settings))
    files = sorted(file for part in ("tables", "artifacts") for file in folder.glob(f"{part}/**/*") if file.is_file())
    return hashlib.sha256(_file_states([*files, folder / "mlflow.db", folder / REPORT_PATH])).hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the file, or all files of a folder (such as a Parquet table) or of a Camtrap DP package, sorted."""
    if is_package(path):
        return package_files(path)
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _content_digest(file: Path) -> bytes:
    """Return the digest of a file's bytes, as a file may change twice with the same date; empty if it is large."""
    try:
        return hashlib.sha256(file.read_bytes()).digest() if file.stat().st_size <= MAX_HASHED_BYTES else b""
    except OSError:
        return b""


def _file_states(files: Iterable[Path]) -> bytes:
    """Return names, sizes and modification times of files as bytes; only the name if a file is missing."""
    lines = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            lines.append(f"{file}\n")
        else:
            lines.append(f"{file} {status.st_size} {status.st_mtime_ns}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")
