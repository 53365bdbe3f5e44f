"""The commands `irbis notebook`: notebooks run as jobs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click

from pipelines.cli.group import SHORT_FORMS, irbis, options, origins_of
from pipelines.cli.remote import FOLLOW, sent_off, ways_in
from pipelines.config import Origin, validated
from pipelines.errors import NotebookError, SettingsError
from pipelines.platform.ledger import new_id
from pipelines.platform.secrets import revealed
from pipelines.platform.targets import target
from pipelines.platform.targets.target import Job
from pipelines.stages.notebooks import Order, order
from pipelines.storage.places import Places


@irbis.group()
def notebook() -> None:
    """Run a notebook as a job, its executed copy kept; or list them."""


@notebook.command("list")
def list_notebooks() -> None:
    """Show the notebooks by name."""
    from pipelines.stages.notebooks import known

    names = known()
    for name, title in names.items():
        click.echo(f"{name:{max(map(len, names))}}  {title}")


@notebook.command("run")
@click.argument("name")
@click.option("-p", "--parameter", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter of the notebook.")
@click.option("--on", "where", metavar="PLACE", help="Where it is to run, if not here: databricks.")
@FOLLOW
@options
def run_notebook(
    origins: dict[str, Origin], verbose: bool, name: str, pairs: tuple[str, ...], where: str | None, follow: bool
) -> int:
    """Run a notebook (walkthrough, explore, score, or a path); --workspace and the like are its parameters too."""
    from pipelines.stages.executed import execute

    wanted = order(name, _texts(pairs))
    about = {key: value for key, value in wanted.parameters.items() if key in ("workspace", "env", "settings")}
    if where:
        return _sent(wanted, origins_by_parameters(about), where, follow)
    settings = revealed(validated(origins_by_parameters(about)))
    click.echo(execute(wanted, settings, with_bar=sys.stderr.isatty()).closing_line())
    return 0


def _sent(wanted: Order, origins: dict[str, Origin], where: str, follow: bool) -> int:
    """Send a notebook as a run; its executed copy is fetched into the run's folder when it has ended."""
    settings = validated(origins)
    given = {key: value for key, value in wanted.given.items() if value not in ("", None)}
    place = target(where, settings, Places(settings))
    if faults := place.faults({"workspace": settings.workspace, "sources.images": given.get("images")}):
        raise SettingsError(faults)
    job = Job(new_id("notebook"), ("notebook", wanted.name), given, notebook=wanted.file)
    return sent_off(job, {**given, **ways_in(origins)}, where, place, settings, follow)


def origins_by_parameters(given: Mapping[str, Any]) -> dict[str, Origin]:
    """Give the settings' origins for a notebook's parameters, which are named like options; what is empty says nothing.

    `settings` holds further ones as after --set, separated by spaces.
    """
    named = {name: given[name] for name in SHORT_FORMS if given.get(name)}
    return origins_of(given.get("env") or None, shlex.split(given.get("settings") or ""), named)


def _texts(pairs: tuple[str, ...]) -> dict[str, str]:
    """Give the texts of parameters by name: those of -p, and the options that were typed, by the names they have."""
    texts: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise NotebookError(f"-p {pair}: write KEY=VALUE, such as -p pictures=24.")
        texts[key.strip()] = value.strip()
    for key, value in _typed_options().items():
        if key in texts:
            raise NotebookError(f"-p {key}={texts[key]} and the option of that name say the same thing. Give one.")
        texts[key] = value
    return texts


def _typed_options() -> dict[str, str]:
    given = click.get_current_context().params
    texts = {name: given[name] for name in ("env", *SHORT_FORMS) if given[name] is not None}
    return texts | ({"settings": shlex.join(given["assignments"])} if given["assignments"] else {})
