"""The commands `irbis notebook`: run notebooks as jobs."""

from __future__ import annotations

import shlex
import sys

import click

from pipelines.cli.options import common_options, irbis
from pipelines.cli.submit import FOLLOW, connection_settings, submit_job
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.overrides import SETTING_OPTIONS
from pipelines.databricks.secrets import resolve_secrets
from pipelines.errors import NotebookError, SettingsError
from pipelines.notebooks.parameters import sourced_values
from pipelines.notebooks.requests import NotebookRequest, validate_request
from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import new_run_id


@irbis.group()
def notebook() -> None:
    """Run a notebook as a job and keep the executed copy, or list the notebooks."""


@notebook.command("list")
def list_notebooks() -> None:
    """List the notebooks by name."""
    from pipelines.notebooks.requests import list_notebooks

    names = list_notebooks()
    for name, title in names.items():
        click.echo(f"{name:{max(map(len, names))}}  {title}")


@notebook.command("run")
@click.argument("name")
@click.option("-p", "--parameter", "pairs", metavar="KEY=VALUE", multiple=True, help="Parameter of the notebook.")
@click.option("--on", "where", metavar="BACKEND", help="Backend to run on instead of this machine: databricks.")
@FOLLOW
@common_options
def run_notebook(
    origins: dict[str, SourcedValue], verbose: bool, name: str, pairs: tuple[str, ...], where: str | None, follow: bool
) -> int:
    """Run a notebook (walkthrough, explore, score, or a path). Options such as --workspace are parameters too."""
    from pipelines.notebooks.execute import run_notebook

    request = validate_request(name, _parse_parameters(pairs))
    shared = {key: value for key, value in request.parameters.items() if key in ("workspace", "env", "settings")}
    if where:
        return _submit_notebook(request, sourced_values(shared), where, follow)
    settings = resolve_secrets(build_settings(sourced_values(shared)))
    click.echo(run_notebook(request, settings, progress_bar=sys.stderr.isatty()).closing_line())
    return 0


def _submit_notebook(request: NotebookRequest, origins: dict[str, SourcedValue], where: str, follow: bool) -> int:
    """Submit a notebook as a run; its executed copy is downloaded to the run's folder at the end."""
    settings = build_settings(origins)
    parameters = {key: value for key, value in request.overrides.items() if value not in ("", None)}
    backend = get_backend(where, settings, WorkspaceFiles(settings))
    if faults := backend.validate({"workspace": settings.workspace, "sources.images": parameters.get("images")}):
        raise SettingsError(faults)
    job = RunRequest(new_run_id("notebook"), ("notebook", request.name), parameters, notebook=request.file)
    return submit_job(job, {**parameters, **connection_settings(origins)}, where, backend, settings, follow)


def _parse_parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters by name, as text: those of -p and the options on the command line."""
    texts: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise NotebookError(f"-p {pair}: write KEY=VALUE, such as -p gallery_size=24.")
        texts[key.strip()] = value.strip()
    for key, value in _command_line_options().items():
        if key in texts:
            raise NotebookError(f"-p {key}={texts[key]} and --{key} set the same parameter. Give one of them.")
        texts[key] = value
    return texts


def _command_line_options() -> dict[str, str]:
    options = click.get_current_context().params
    texts = {name: options[name] for name in ("env", *SETTING_OPTIONS) if options[name] is not None}
    return texts | ({"settings": shlex.join(options["assignments"])} if options["assignments"] else {})
