"""The commands of runs, here and elsewhere: submit, runs, logs, outputs, cancel, repeat."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import common_options, irbis
from pipelines.cli.stages import STAGES
from pipelines.config.loader import MAPPINGS, SourcedValue, build_settings, load_sourced_values, overlay_settings
from pipelines.config.settings import Settings
from pipelines.errors import DataError, SettingsError
from pipelines.runs import follow as follow_module
from pipelines.runs.backends import registry
from pipelines.runs.backends.base import Backend, RunRequest
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import LOCAL, PENDING, SUCCEEDED, UNKNOWN, RunHistory, RunRecord, new_run_id, utc_now
from pipelines.runs.package import LOCAL_ONLY_PREFIXES, non_default_settings, to_cli_args
from pipelines.runs.submit import submit_run
from pipelines.stages.result import format_duration
from pipelines.stages.sweep.plan import read_plan

CONNECTION_SETTINGS = ("databricks.", "hdinsight.", "spark.conf")  # settings that say how a run's backend is entered
SECRET_HINTS = {"databricks": "Name one kept there: {{secrets/SCOPE/KEY}}."}
NO_SECRET_HINT = "The cluster must have a way in of its own."
FOLLOW = click.option("--follow", is_flag=True, help="Stay until it ends, and show its log.")


@irbis.command()
@click.argument("what", metavar="STAGE|run|sweep", type=click.Choice([*STAGES, "run", "sweep"]))
@click.argument("plan", metavar="[PLAN]", required=False)
@click.option("--on", "where", metavar="PLACE", required=True, help=f"Where it is to run: {registry.NAMES}.")
@click.option("--job", "existing", metavar="NAME", help="Run this deployed job, instead of one made for the occasion.")
@FOLLOW
@common_options
def submit(
    origins: dict[str, SourcedValue],
    verbose: bool,
    what: str,
    plan: str | None,
    where: str,
    existing: str | None,
    follow: bool,
) -> int:
    """Send a stage, all of them, or a sweep with its plan to a cluster: this code, these settings."""
    if (what == "sweep") != (plan is not None):
        raise click.UsageError("A sweep has a plan, nothing else has: irbis submit sweep conf/sweeps/penalties.yaml")
    return _submit([what, str(Path(plan).absolute())] if plan else [what], origins, where, existing, follow)


@irbis.command()
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@common_options
def runs(origins: dict[str, SourcedValue], verbose: bool, as_json: bool) -> None:
    """List the runs that were started here, wherever they run."""
    history = _open_history(origins)
    found = [follow_module.refresh_safely(entry, partial(_get_backend, entry, origins), history) for entry in history.all()]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in found], indent=2, ensure_ascii=False))
    elif not found:
        click.echo(f"No run is noted in {history.folder} yet.")
    else:
        click.echo(_format_table(found))


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@FOLLOW
@common_options
def logs(origins: dict[str, SourcedValue], verbose: bool, run: str | None, follow: bool) -> int:
    """Show what a run has said so far, the latest one's without a name."""
    history = _open_history(origins)
    entry = history.find(run)
    backend = _get_backend(entry, origins)
    if follow:
        return _follow(entry, backend, history, build_settings(origins))
    text = follow_module.LogTail(backend, entry.folder).read_new(is_over=True)
    click.echo(text or f"{entry.id} has said nothing yet.", nl=not text)
    return 0


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--download", metavar="DIR", help="Fetch them to this folder.")
@common_options
def outputs(origins: dict[str, SourcedValue], verbose: bool, run: str | None, download: str | None) -> None:
    """List what a run has made: log, results, report, model."""
    entry = _open_history(origins).find(run)
    backend = _get_backend(entry, origins)
    if download:
        files = follow_module.download(backend, entry.folder, Path(download))
        click.echo(f"{entry.id}: {len(files)} files are in {download}")
        return
    found = backend.files(entry.folder)
    for name, size in found:
        click.echo(f"{size:>12,}  {name}")
    click.echo(f"{entry.id}: {len(found)} files in {entry.folder}")


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@common_options
def cancel(origins: dict[str, SourcedValue], verbose: bool, run: str | None) -> None:
    """End a run; what it has committed stays."""
    history = _open_history(origins)
    entry = history.find(run)
    backend = _get_backend(entry, origins)
    entry = follow_module.refresh(entry, backend, history)
    if entry.has_ended:
        click.echo(f"{entry.id} has ended already: {entry.state}")
        return
    if entry.state == UNKNOWN:
        raise DataError(f"{entry.id} is not ended from here: {entry.outcome}.")
    backend.cancel(follow_module.get_handle(entry, backend))
    click.echo(f"{entry.id}: its end is asked for. `irbis runs` says when it has come.")


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@FOLLOW
@common_options
def repeat(origins: dict[str, SourcedValue], verbose: bool, run: str | None, follow: bool) -> int:
    """Do a run again: the same command, settings and backend."""
    entry = _open_history(origins).find(run)
    click.echo(f"repeats {entry.id}: irbis {' '.join([*entry.command, *to_cli_args(entry.settings)])}", err=True)
    # A mapping of the record lacks its secrets, which come from where they came from.
    again = overlay_settings({**load_sourced_values(), **{key: origins[key] for key in MAPPINGS}}, _recorded_settings(entry))
    if entry.command[0] == "notebook":
        return _repeat_notebook(entry, follow)
    if entry.backend != LOCAL:
        return _submit(entry.command, again, entry.backend, entry.handle.get("job"), follow)
    os.chdir(entry.cwd)
    told = {key: each.value for key, each in again.items() if key in entry.settings or (key in MAPPINGS and each.value)}
    return _run_command([*entry.command, *to_cli_args(told)])


def _repeat_notebook(entry: RunRecord, follow: bool) -> int:
    """Send a notebook again: its entry has its parameters for settings."""
    os.chdir(entry.cwd)
    asked = {key: value for key, value in entry.settings.items() if not key.startswith(CONNECTION_SETTINGS)}
    ways = [shlex.quote(f"{key}={value}") for key, value in entry.settings.items() if key not in asked]
    if texts := [*filter(None, [asked.get("settings")]), *ways]:
        asked["settings"] = " ".join(texts)
    given = [word for key, value in asked.items() for word in ("-p", f"{key}={value}")]
    words = ["notebook", "run", *entry.command[1:], *given, "--on", entry.backend]
    return _run_command([*words, "--follow"] if follow else words)


def _run_command(words: Sequence[str]) -> int:
    return int(irbis.main(list(words), "irbis", standalone_mode=False) or 0)


def _submit(
    words: Sequence[str], origins: dict[str, SourcedValue], where: str, existing: str | None, follow: bool
) -> int:
    settings = build_settings(origins)
    classifiers: list[Any] = [settings.train.classifier]
    if words[0] == "sweep":
        classifiers = read_plan(words[1], origins).choices("train.classifier", *classifiers)
    backend = registry.get_backend(where, settings, WorkspaceFiles(settings))
    changed, secret = non_default_settings(origins)
    sent = {key: value for key, value in changed.items() if not key.startswith(LOCAL_ONLY_PREFIXES)}
    if not existing:
        sent["workspace"] = settings.workspace.rstrip("/")
        if faults := backend.validate(sent):
            raise SettingsError(faults)
    for name in secret:
        if not name.startswith(LOCAL_ONLY_PREFIXES):
            click.echo(f"{name} stays here: it is a secret. {SECRET_HINTS.get(where, NO_SECRET_HINT)}", err=True)
        elif name.startswith("spark.conf"):
            click.echo(f"{name} is a secret and not recorded. Give it to `irbis repeat` again.", err=True)
    job = RunRequest(new_run_id(words[0]), tuple(words), sent, existing, needs_lightgbm="lightgbm" in classifiers)
    return submit_job(job, changed, where, backend, settings, follow)


def submit_job(
    job: RunRequest, changed: dict[str, Any], where: str, backend: Backend, settings: Settings, follow: bool
) -> int:
    """Send a run, say by what name it is known, and follow it if that is wanted; give the exit code."""
    history, workspace = RunHistory(settings.runs.history_dir), settings.workspace.rstrip("/")
    entry = RunRecord(job.id, job.words, where, changed, workspace, os.getcwd(), utc_now(), state=PENDING)
    entry = submit_run(entry, job, backend, history)
    click.echo(f"{job.id}: sent to {where}. `irbis logs {job.id} --follow` shows how it goes.", err=True)
    return _follow(entry, backend, history, settings) if follow else 0


def _follow(entry: RunRecord, backend: Backend, history: RunHistory, settings: Settings) -> int:
    """Follow a run to its end; give 0 if it was a success, else 1."""

    def say(text: str) -> None:
        click.echo(text, nl=False)

    def tell(text: str) -> None:
        click.echo(text, err=True)

    try:
        entry = follow_module.follow(entry, backend, history, settings.runs.poll_seconds, say, tell)
    except KeyboardInterrupt:
        tell(f"{entry.id} goes on. `irbis logs {entry.id} --follow` takes up again, `irbis cancel {entry.id}` ends it.")
        raise SystemExit(130) from None
    if entry.state != SUCCEEDED:
        tell(f"{entry.id} {entry.state}: {entry.outcome}")
        return 1
    stages = follow_module.stage_results(backend, entry.folder)
    if stages and not any(stage.written for stage in stages):
        click.echo("Nothing new: every stage found its work done.")
    tell(f"{entry.id} {entry.state}. `irbis outputs {entry.id} --download DIR` fetches what it made.")
    return 0


def _open_history(origins: dict[str, SourcedValue]) -> RunHistory:
    return RunHistory(build_settings(origins).runs.history_dir)


def _recorded_settings(entry: RunRecord) -> dict[str, SourcedValue]:
    return {key: SourcedValue(value, entry.id) for key, value in entry.settings.items()}


def _get_backend(entry: RunRecord, origins: dict[str, SourcedValue]) -> Backend:
    """Give a run's target, entered the way in which the run was sent, unless the command names another."""
    kept = {key: origin for key, origin in _recorded_settings(entry).items() if key.startswith(CONNECTION_SETTINGS)}
    given = {key: origin for key, origin in origins.items() if origin.source != "conf/base.yaml"}
    settings = build_settings({**origins, **overlay_settings(kept, given)})
    return registry.get_backend(entry.backend, settings, WorkspaceFiles(settings))


def connection_settings(origins: Mapping[str, SourcedValue]) -> dict[str, Any]:
    """Give what says how a backend is entered and is not that of conf/base.yaml: it is needed to ask about a run too."""
    return {
        key: value for key, value in non_default_settings(origins)[0].items() if key.startswith(CONNECTION_SETTINGS)
    }


def _format_table(entries: Sequence[RunRecord]) -> str:
    """Give a line a run, the latest first."""
    rows = [("run", "what", "where", "state", "started (UTC)", "took", "")]
    for entry in reversed(entries):
        took = "" if entry.seconds is None else format_duration(entry.seconds)
        started = entry.started[:16].replace("T", " ")
        outcome = entry.outcome.splitlines()[0][:80] if entry.outcome else ""
        rows.append((entry.id, " ".join(entry.command), entry.backend, entry.state, started, took, outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
