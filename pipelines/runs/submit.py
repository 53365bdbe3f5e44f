"""Send a run to a place, so that neither a line that breaks nor a machine that is closed loses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import AccessError, UserError
from pipelines.runs.backends.base import Backend, ConnectionLost, RunRequest
from pipelines.runs.history import FAILED, RUNNING, RunHistory, RunRecord, utc_now

UPLOADED_SETTINGS = ("sources.labels", "featurize.weights")  # settings that may name a file of this machine


def submit_run(entry: RunRecord, job: RunRequest, place: Backend, history: RunHistory) -> RunRecord:
    """Start the run, with the files that its settings name; give its entry as the history has it then.

    It is noted before it is sent. Raises AccessError where the place refuses, or where it may not have heard.
    """
    history.write(entry)
    try:
        places = {name: place.upload_file(file, entry.workspace) for name, file in _local_files(job).items()}
        handle = dict(place.submit(replace(job, files=tuple(places)).with_paths(places), entry.workspace))
    except ConnectionLost as error:
        raise AccessError(f"{error} `irbis logs {entry.id} --follow` looks whether the run has begun.") from error
    except UserError as error:
        history.write(replace(entry, state=FAILED, ended=utc_now(), outcome=str(error)))
        raise
    there: Mapping[str, Any] = {**handle, "job": job.existing}
    return history.write(replace(entry, state=RUNNING, workspace=handle.pop("workspace"), handle=there))


def _local_files(job: RunRequest) -> dict[str, Path]:
    """Give the files of this machine that a job names, by its names for them."""
    plan = job.words[1:] if job.words[0] == "sweep" else ()
    named = [*plan, *(str(job.settings[key]) for key in UPLOADED_SETTINGS if job.settings.get(key) is not None)]
    files = {name: Path(name).expanduser() for name in named}
    return {name: file for name, file in files.items() if file.is_file()}
