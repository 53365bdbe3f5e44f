"""The commands `irbis notebook`: notebooks run as jobs."""

from __future__ import annotations

import shlex
import sys

import click

from pipelines.cli.options import common_options, irbis
from pipelines.cli.runs import FOLLOW, connection_settings, submit_job
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.overrides import SETTING_OPTIONS
from pipelines.databricks.secrets import resolve_secrets
from pipelines.errors import NotebookError, SettingsError
from pipelines.notebooks.parameters import settings_from_parameters
from pipelines.notebooks.requests import NotebookRequest, validate_request
from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import new_run_id


@irbis.group()
def notebook() -> None:
    """Run a notebook as a job, its executed copy kept; or list them."""


@notebook.command("list")
def list_notebooks() -> None:
    """Show the notebooks by name."""
    from pipelines.notebooks.requests import list_notebooks

    names = list_notebooks()
    for name, title in names.items():
        click.echo(f"{name:{max(map(len, names))}}  {title}")


@notebook.command("run")
@click.argument("name")
@click.option("-p", "--parameter", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter of the notebook.")
@click.option("--on", "where", metavar="PLACE", help="Where it is to run, if not here: databricks.")
@FOLLOW
@common_options
def run_notebook(
    origins: dict[str, SourcedValue], verbose: bool, name: str, pairs: tuple[str, ...], where: str | None, follow: bool
) -> int:
    """Run a notebook (walkthrough, explore, score, or a path); --workspace and the like are its parameters too."""
    from pipelines.notebooks.execute import run_notebook

    wanted = validate_request(name, _texts(pairs))
    about = {key: value for key, value in wanted.parameters.items() if key in ("workspace", "env", "settings")}
    if where:
        return _sent(wanted, settings_from_parameters(about), where, follow)
    settings = resolve_secrets(build_settings(settings_from_parameters(about)))
    click.echo(run_notebook(wanted, settings, progress_bar=sys.stderr.isatty()).closing_line())
    return 0


def _sent(wanted: NotebookRequest, origins: dict[str, SourcedValue], where: str, follow: bool) -> int:
    """Send a notebook as a run; its executed copy is fetched into the run's folder when it has ended."""
    settings = build_settings(origins)
    given = {key: value for key, value in wanted.overrides.items() if value not in ("", None)}
    place = get_backend(where, settings, WorkspaceFiles(settings))
    if faults := place.validate({"workspace": settings.workspace, "sources.images": given.get("images")}):
        raise SettingsError(faults)
    job = RunRequest(new_run_id("notebook"), ("notebook", wanted.name), given, notebook=wanted.file)
    return submit_job(job, {**given, **connection_settings(origins)}, where, place, settings, follow)


def _texts(pairs: tuple[str, ...]) -> dict[str, str]:
    """Give the texts of parameters by name: those of -p, and the options that were typed, by the names they have."""
    texts: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise NotebookError(f"-p {pair}: write KEY=VALUE, such as -p gallery_size=24.")
        texts[key.strip()] = value.strip()
    for key, value in _typed_options().items():
        if key in texts:
            raise NotebookError(f"-p {key}={texts[key]} and the option of that name say the same thing. Give one.")
        texts[key] = value
    return texts


def _typed_options() -> dict[str, str]:
    given = click.get_current_context().params
    texts = {name: given[name] for name in ("env", *SETTING_OPTIONS) if given[name] is not None}
    return texts | ({"settings": shlex.join(given["assignments"])} if given["assignments"] else {})
