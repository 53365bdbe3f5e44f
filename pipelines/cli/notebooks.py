"""The commands `irbis notebook`: notebooks run as jobs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click

from pipelines.cli.group import SHORT_FORMS, irbis, options, origins_of
from pipelines.config import Origin, validated
from pipelines.errors import NotebookError
from pipelines.platform.secrets import revealed


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
@options
def run_notebook(origins: dict[str, Origin], verbose: bool, name: str, pairs: tuple[str, ...]) -> None:
    """Run a notebook (walkthrough, explore, score, or a path); --workspace and the like are its parameters too."""
    from pipelines.stages.executed import execute
    from pipelines.stages.notebooks import order

    wanted = order(name, _texts(pairs))
    about = {key: value for key, value in wanted.parameters.items() if key in ("workspace", "env", "settings")}
    settings = revealed(validated(origins_by_parameters(about)))
    click.echo(execute(wanted, settings, with_bar=sys.stderr.isatty()).closing_line())


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
