"""Commands about runs that were started, on any backend: runs, logs, outputs, cancel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from pipelines.cli.options import common_options, irbis
from pipelines.cli.submit import CONNECTION_SETTINGS, FOLLOW, follow_run, open_history, recorded_settings
from pipelines.config.loader import SourcedValue, build_settings, overlay_settings
from pipelines.errors import DataError
from pipelines.formatting import format_duration
from pipelines.runs import follow as follow_module
from pipelines.runs.backends import registry
from pipelines.runs.backends.base import Backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import UNKNOWN, RunRecord


@irbis.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def runs(origins: dict[str, SourcedValue], verbose: bool, as_json: bool) -> None:
    """List the runs started on this machine, on any backend."""
    history = open_history(origins)
    entries = [
        follow_module.refresh_safely(entry, partial(_get_backend, entry, origins), history) for entry in history.all()
    ]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))
    elif not entries:
        click.echo(f"No runs in {history.folder} yet.")
    else:
        click.echo(_format_table(entries))


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@FOLLOW
@common_options
def logs(origins: dict[str, SourcedValue], verbose: bool, run: str | None, follow: bool) -> int:
    """Show the log of a run, by default the latest. RUN is an id or its beginning."""
    history = open_history(origins)
    entry = history.find(run)
    backend = _get_backend(entry, origins)
    if follow:
        return follow_run(entry, backend, history, build_settings(origins))
    text = follow_module.LogTail(backend, entry.folder).read_new(is_over=True)
    click.echo(text or f"{entry.id} has no log yet.", nl=not text)
    return 0


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--download", metavar="DIR", help="Download them to this folder.")
@common_options
def outputs(origins: dict[str, SourcedValue], verbose: bool, run: str | None, download: str | None) -> None:
    """List or download the files of a run: log, results, report, model."""
    entry = open_history(origins).find(run)
    backend = _get_backend(entry, origins)
    if download:
        files = follow_module.download(backend, entry.folder, Path(download))
        click.echo(f"{entry.id}: {len(files)} files are in {download}")
        return
    listed = backend.files(entry.folder)
    for name, size in listed:
        click.echo(f"{size:>12,}  {name}")
    click.echo(f"{entry.id}: {len(listed)} files in {entry.folder}")


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@common_options
def cancel(origins: dict[str, SourcedValue], verbose: bool, run: str | None) -> None:
    """Cancel a run; committed work is kept."""
    history = open_history(origins)
    entry = history.find(run)
    backend = _get_backend(entry, origins)
    entry = follow_module.refresh(entry, backend, history)
    if entry.has_ended:
        click.echo(f"{entry.id} has already ended: {entry.state}")
        return
    if entry.state == UNKNOWN:
        raise DataError(f"{entry.id} cannot be cancelled from here: {entry.outcome}.")
    backend.cancel(follow_module.get_handle(entry, backend))
    click.echo(f"{entry.id}: cancellation requested; see `irbis runs`.")


def _get_backend(entry: RunRecord, origins: dict[str, SourcedValue]) -> Backend:
    """Return the backend of a run, reached with the settings it was submitted with; the current settings go first."""
    recorded = {key: origin for key, origin in recorded_settings(entry).items() if key.startswith(CONNECTION_SETTINGS)}
    current = {key: origin for key, origin in origins.items() if origin.source != "conf/base.yaml"}
    settings = build_settings({**origins, **overlay_settings(recorded, current)})
    return registry.get_backend(entry.backend, settings, WorkspaceFiles(settings))


def _format_table(entries: Sequence[RunRecord]) -> str:
    """Return the table of runs, one line each, the latest first."""
    rows = [("run", "command", "backend", "state", "started (UTC)", "duration", "")]
    for entry in reversed(entries):
        took = "" if entry.seconds is None else format_duration(entry.seconds)
        started = entry.started[:16].replace("T", " ")
        outcome = entry.outcome.splitlines()[0][:80] if entry.outcome else ""
        rows.append((entry.id, " ".join(entry.command), entry.backend, entry.state, started, took, outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
