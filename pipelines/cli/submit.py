"""Commands that start runs on a backend, and follow them: submit and repeat."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pipelines.cli.filters import filter_options
from pipelines.cli.options import common_options, irbis
from pipelines.cli.stages import STAGES
from pipelines.config.loader import MAPPINGS, SourcedValue, build_settings, load_sourced_values, overlay_settings
from pipelines.config.settings import Settings
from pipelines.errors import SettingsError
from pipelines.exchange.filters import Filters
from pipelines.runs import follow as follow_module
from pipelines.runs.backends import registry
from pipelines.runs.backends.base import Backend, RunRequest
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import LOCAL, PENDING, SUCCEEDED, RunHistory, RunRecord, new_run_id, utc_now
from pipelines.runs.package import LOCAL_ONLY_PREFIXES, non_default_settings, to_cli_args
from pipelines.runs.submit import submit_run
from pipelines.stages.sweep.plan import read_plan

# As registry.known_backends() lists them, which would import all backends at every start of the command.
BACKENDS = "databricks, hdinsight, or a Spark master: yarn, spark://HOST:PORT, k8s://https://HOST:PORT"
CONNECTION_SETTINGS = ("databricks.", "hdinsight.", "spark.conf")  # prefixes of settings needed to reach a backend
SECRET_HINTS = {"databricks": "Refer to a secret scope instead: {{secrets/SCOPE/KEY}}."}
NO_SECRET_HINT = "The cluster needs its own credentials."
FOLLOW = click.option("--follow", is_flag=True, help="Show the log until the run ends.")


@irbis.command()
@click.argument("what", metavar="STAGE|run|sweep", type=click.Choice([*STAGES, "detect", "explain", "run", "sweep"]))
@click.argument("plan", metavar="[PLAN]", required=False)
@click.option("--on", "where", metavar="BACKEND", required=True, help=f"Backend to run on: {BACKENDS}.")
@click.option("--job", "existing", metavar="NAME", help="Run this deployed job instead of a one-time run.")
@click.option("--all", "everything", is_flag=True, help="Explain also images that need no review.")
@filter_options
@FOLLOW
@common_options
def submit(
    origins: dict[str, SourcedValue],
    verbose: bool,
    what: str,
    plan: str | None,
    where: str,
    existing: str | None,
    everything: bool,
    filters: Filters,
    follow: bool,
) -> int:
    """Submit a stage, all stages, or a sweep with its PLAN to a cluster, with this code and these settings.

    The options that choose images are those of `irbis explain`.
    """
    if (what == "sweep") != (plan is not None):
        raise click.UsageError("A sweep needs a plan, stages take none: irbis submit sweep conf/sweeps/penalties.yaml")
    words = [*(["--all"] if everything else []), *filters.to_words()]
    if words and (what != "explain" or existing):
        raise click.UsageError(f"{words[0]} is an option of `irbis submit explain` without --job only.")
    return _submit([what, str(Path(plan).absolute())] if plan else [what, *words], origins, where, existing, follow)


@irbis.command()
@click.argument("run", metavar="[RUN]", required=False)
@FOLLOW
@common_options
def repeat(origins: dict[str, SourcedValue], verbose: bool, run: str | None, follow: bool) -> int:
    """Repeat a run with the same command, settings and backend."""
    entry = open_history(origins).find(run)
    click.echo(f"repeating {entry.id}: irbis {' '.join([*entry.command, *to_cli_args(entry.settings)])}", err=True)
    # Secrets are not recorded: items of mappings that hold one come from the current settings.
    current = {**load_sourced_values(), **{key: origins[key] for key in MAPPINGS}}
    again = overlay_settings(current, recorded_settings(entry))
    if entry.command[0] == "notebook":
        return _repeat_notebook(entry, follow)
    if entry.backend != LOCAL:
        return _submit(entry.command, again, entry.backend, entry.handle.get("job"), follow)
    os.chdir(entry.cwd)
    settings = {
        key: origin.value
        for key, origin in again.items()
        if key in entry.settings or (key in MAPPINGS and origin.value)
    }
    return _run_command([*entry.command, *to_cli_args(settings)])


def _repeat_notebook(entry: RunRecord, follow: bool) -> int:
    """Submit a notebook again; the settings of its entry are the notebook's parameters."""
    os.chdir(entry.cwd)
    parameters = {key: value for key, value in entry.settings.items() if not key.startswith(CONNECTION_SETTINGS)}
    connection = [shlex.quote(f"{key}={value}") for key, value in entry.settings.items() if key not in parameters]
    if texts := [*filter(None, [parameters.get("settings")]), *connection]:
        parameters["settings"] = " ".join(texts)
    options = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
    words = ["notebook", "run", *entry.command[1:], *options, "--on", entry.backend]
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
    changed, secrets = non_default_settings(origins)
    sent = {key: value for key, value in changed.items() if not key.startswith(LOCAL_ONLY_PREFIXES)}
    if not existing:
        sent["workspace"] = settings.workspace.rstrip("/")
        if faults := backend.validate(sent):
            raise SettingsError(faults)
    for name in secrets:
        if not name.startswith(LOCAL_ONLY_PREFIXES):
            click.echo(f"{name} is a secret and is not sent. {SECRET_HINTS.get(where, NO_SECRET_HINT)}", err=True)
        elif name.startswith("spark.conf"):
            click.echo(f"{name} is a secret and is not recorded. Set it again for `irbis repeat`.", err=True)
    job = RunRequest(new_run_id(words[0]), tuple(words), sent, existing, needs_lightgbm="lightgbm" in classifiers)
    return submit_job(job, changed, where, backend, settings, follow)


def submit_job(
    job: RunRequest, changed: dict[str, Any], where: str, backend: Backend, settings: Settings, follow: bool
) -> int:
    """Submit a run, print its id, and follow it if `follow`. Returns the exit code."""
    history, workspace = RunHistory(settings.runs.history_dir), settings.workspace.rstrip("/")
    entry = RunRecord(job.id, job.words, where, changed, workspace, os.getcwd(), utc_now(), state=PENDING)
    entry = submit_run(entry, job, backend, history)
    click.echo(f"{job.id}: submitted to {where}. Follow it with `irbis logs {job.id} --follow`.", err=True)
    return follow_run(entry, backend, history, settings) if follow else 0


def follow_run(entry: RunRecord, backend: Backend, history: RunHistory, settings: Settings) -> int:
    """Follow a run to its end. Returns 0 if it succeeded, else 1."""

    def print_log(text: str) -> None:
        click.echo(text, nl=False)

    def print_status(text: str) -> None:
        click.echo(text, err=True)

    try:
        entry = follow_module.follow(entry, backend, history, settings.runs.poll_seconds, print_log, print_status)
    except KeyboardInterrupt:
        print_status(
            f"{entry.id} is still running. Reconnect with `irbis logs {entry.id} --follow`; "
            f"stop it with `irbis cancel {entry.id}`."
        )
        raise SystemExit(130) from None
    if entry.state != SUCCEEDED:
        print_status(f"{entry.id} {entry.state}: {entry.outcome}")
        return 1
    stages = follow_module.stage_results(backend, entry.folder)
    if stages and not any(stage.written for stage in stages):
        click.echo("Nothing to do: every stage was up to date.")
    print_status(f"{entry.id} {entry.state}. Download its files with `irbis outputs {entry.id} --download DIR`.")
    return 0


def open_history(origins: dict[str, SourcedValue]) -> RunHistory:
    """Return the history of runs started on this machine."""
    return RunHistory(build_settings(origins).runs.history_dir)


def recorded_settings(entry: RunRecord) -> dict[str, SourcedValue]:
    """Return the settings that a run was started with, as settings of that run."""
    return {key: SourcedValue(value, entry.id) for key, value in entry.settings.items()}


def connection_settings(origins: Mapping[str, SourcedValue]) -> dict[str, Any]:
    """Return the connection settings that differ from conf/base.yaml; following a run needs them again."""
    return {
        key: value for key, value in non_default_settings(origins)[0].items() if key.startswith(CONNECTION_SETTINGS)
    }
