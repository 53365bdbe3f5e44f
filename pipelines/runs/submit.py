"""Submit a run to a backend, so that neither a dropped connection nor a closed laptop loses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import AccessError, DataError, UserError
from pipelines.runs.backends.base import Backend, ConnectionLost, RunRequest
from pipelines.runs.history import FAILED, RUNNING, RunHistory, RunRecord, utc_now

# Settings that may name a file on this machine.
UPLOADED_SETTINGS = ("sources.labels", "featurize.weights", "detect.detector")


def submit_run(entry: RunRecord, job: RunRequest, backend: Backend, history: RunHistory) -> RunRecord:
    """Upload the files that the settings name, start the run, and return its entry as written to the history.

    The entry is written before the submission. Raises AccessError if the backend refuses, or if the connection drops
    and the run may or may not have started.
    """
    history.write(entry)
    try:
        paths = {name: backend.upload_file(file, entry.workspace) for name, file in _local_files(job).items()}
        submitted = dict(backend.submit(replace(job, files=tuple(paths)).with_paths(paths), entry.workspace))
    except ConnectionLost as error:
        raise AccessError(f"{error} Check whether the run has started: `irbis logs {entry.id} --follow`.") from error
    except UserError as error:
        history.write(replace(entry, state=FAILED, ended=utc_now(), outcome=str(error)))
        raise
    handle: Mapping[str, Any] = {**submitted, "job": job.existing}
    return history.write(replace(entry, state=RUNNING, workspace=submitted["workspace"], handle=handle))


def _local_files(job: RunRequest) -> dict[str, Path]:
    """Return the files on this machine that a job refers to, by the names it uses.

    Raises DataError for a package of several files, of which only one would be sent.
    """
    from pipelines.engines.detector import weights_beside  # imports NumPy
    from pipelines.sources.camtrap_package import is_in_several_files  # imports pandas

    plan = job.words[1:] if job.words[0] == "sweep" else ()
    names = [*plan, *(str(job.settings[key]) for key in UPLOADED_SETTINGS if job.settings.get(key) is not None)]
    files = {name: Path(name).expanduser() for name in names}
    if package := next((name for name, file in files.items() if is_in_several_files(file)), None):
        raise DataError(f"{package} is a Camtrap DP package of several files. Submit a zip archive of it instead.")
    detector = job.settings.get("detect.detector")
    if detector and weights_beside(files[str(detector)]):
        raise DataError(
            f"{detector} is a detector of several files, of which only one would be sent. Submit an ONNX file that "
            "holds its weights."
        )
    return {name: file for name, file in files.items() if file.is_file()}
