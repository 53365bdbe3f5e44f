"""Whether anything has changed since the last whole run: asked before Spark starts, which takes longer than to ask.

After `irbis run` and `irbis demo` the workspace keeps what went in (settings, the names, sizes and dates of the
images, labels, weights, this package) and how it left tables, models and report. If all is as it was, nothing is
to be done. One stage alone, such as `irbis ingest`, always looks into the tables.
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
from pipelines.sources.labels import is_labels_file
from pipelines.sources.registry import open_source
from pipelines.spark.runtime import is_external_session
from pipelines.stages.result import StageResult
from pipelines.workspace.tables import workspace_uri

LAST_RUN_FILE = ".last_run.json"  # in the workspace
MAX_HASHED_BYTES = 2**28  # bytes of a labels file that is known by its size and date alone


@dataclass(frozen=True)
class LastRun:
    """Hold digests of what went into a run and of what it left, and what each stage would say if asked again."""

    inputs: str
    outputs_digest: str
    stages: list[dict[str, Any]]
    due: str | None = None  # when a stage has something to do again, even if nothing changes: ISO 8601, in UTC


def input_digest(settings: Settings) -> str | None:
    """Give the digest of all that a run depends on but its workspace, null where that cannot be known from here.

    So it is where Spark belongs to somebody else, tables or models live on a server, or the source is a dataset.
    Raises DataError or AccessError where the source cannot be listed.
    """
    tracking = settings.tracking
    elsewhere = settings.tables.schema_ or settings.sources.dataset or "://" in settings.workspace
    if is_external_session() or elsewhere or tracking.uri or tracking.registry_uri:
        return None
    source = open_source(settings)
    found = hashlib.sha256(settings.model_dump_json(exclude={"runs", "clean", "databricks"}).encode())
    for blob in source.list():
        found.update(repr((blob.path, blob.size, blob.etag)).encode("utf-8", "surrogatepass"))
    labels = settings.sources.labels
    if is_labels_file(labels) and "://" in labels:
        found.update(source.read_file(labels))
    of_labels = _files(Path(labels).expanduser()) if is_labels_file(labels) else []
    for file in of_labels:
        found.update(_content_digest(file))
    code = Path(pipelines.__file__).parent.rglob("*.py")
    found.update(_file_states([*of_labels, *resolve_weights_files(settings.featurize), *sorted(code)]))
    return found.hexdigest()


def cached_results(settings: Settings, inputs: str | None) -> list[StageResult]:
    """Give what the stages of a run would say, if it has nothing to do; else nothing."""
    try:
        note = (
            LastRun(**json.loads(Path(workspace_uri(settings), LAST_RUN_FILE).read_text("utf-8"))) if inputs else None
        )
    except (OSError, ValueError, TypeError):  # none, or another version's
        note = None
    if note is None or note.inputs != inputs or note.outputs_digest != _outputs_digest(settings):
        return []
    if note.due and datetime.fromisoformat(note.due) <= datetime.now(timezone.utc):
        return []
    return [StageResult(each["stage"], outcome=each["outcome"], notes=tuple(each["notes"])) for each in note.stages]


def save_digest(settings: Settings, inputs: str | None, results: Sequence[StageResult]) -> None:
    """Keep what a whole run saw and left. Not if an image failed that another run may read."""
    passing = {str(failure) for failure in Failure if failure.is_transient}
    if inputs is None or any(passing & set(each.failures) for each in results):
        return
    stages = [{"stage": r.stage, "outcome": r.noop_outcome or r.outcome, "notes": r.persistent_notes} for r in results]
    due = min((result.due for result in results if result.due), default=None)
    note = LastRun(inputs, _outputs_digest(settings), stages, due.isoformat() if due else None)
    write_atomic(Path(workspace_uri(settings), LAST_RUN_FILE), json.dumps(asdict(note)).encode())


def _outputs_digest(settings: Settings) -> str:
    """Give the digest of what tells of every change in the workspace: tables, MLflow's files, the report."""
    folder = Path(workspace_uri(settings))
    files = sorted(file for part in ("tables", "artifacts") for file in folder.glob(f"{part}/**/*") if file.is_file())
    return hashlib.sha256(_file_states([*files, folder / "mlflow.db", folder / REPORT_PATH])).hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the file, or all files of a folder, such as one of Parquet files, in a fixed order."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _content_digest(file: Path) -> bytes:
    """Return the digest of a file's bytes, which may change within one tick of its date; empty if it is large."""
    try:
        return hashlib.sha256(file.read_bytes()).digest() if file.stat().st_size <= MAX_HASHED_BYTES else b""
    except OSError:
        return b""


def _file_states(files: Iterable[Path]) -> bytes:
    """Give names, sizes and dates of files; of those that are not there, the names."""
    lines = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            lines.append(f"{file}\n")
        else:
            lines.append(f"{file} {status.st_size} {status.st_mtime_ns}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")
