"""The commands `irbis bundle`: the jobs that Databricks is to run, checked and rendered without a workspace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from pipelines.cli.options import irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.overrides import collect_settings
from pipelines.errors import SettingsError

FOLDER = click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))


@irbis.group()
def bundle() -> None:
    """Check and show the jobs of deploy/databricks before they are deployed."""


@bundle.command("check")
@FOLDER
def check_bundle(folder: Path | None) -> None:
    """Say what is wrong with the bundle that its schema does not catch; exit code 2 if anything is."""
    from pipelines.databricks.bundle import read_bundle
    from pipelines.databricks.validate import validate_bundle

    found = read_bundle(folder)
    try:
        said = validate_bundle(found, validate_task_parameters)
    except (AttributeError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{found.root} has not the shape of a bundle ({error!r}): check-jsonschema, with the schema that "
            "`databricks bundle schema` prints, names the place."
        ) from error
    if said:
        raise SettingsError(said)
    click.echo(f"{found.root}: {len(found.files)} jobs for {' and '.join(found.targets)}, and nothing to complain of.")


@bundle.command("render")
@FOLDER
@click.option("--target", metavar="dev|prod", required=True, help="A target of databricks.yml.")
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Any variable of databricks.yml.")
@click.option("--user", metavar="ADDRESS", help="Who deploys; else ${workspace.current_user...} stays in names.")
def render_bundle(folder: Path | None, target: str, variables: tuple[str, ...], user: str | None) -> None:
    """Print the jobs as they would be created, as JSON for the Jobs API."""
    from pipelines.databricks.bundle import render_jobs

    given = {}
    for text in variables:
        name, equals, given[name] = text.partition("=")
        if not equals:
            raise SettingsError(f"--var {text}: write NAME=VALUE, such as --var catalog=main.")
    click.echo(json.dumps(render_jobs(target, given, user=user, folder=folder), indent=2, ensure_ascii=False))


def validate_task_parameters(word: str, parameters: Sequence[str]) -> list[str]:
    """Give what a command would say against its parameters. What only Databricks fills in is passed over."""
    command = irbis.commands.get(word)
    if command is None:
        return [f"there is no command `irbis {word}`."]
    try:
        context = command.make_context(word, list(parameters), help_option_names=[])  # a task that helps does nothing
        origins = collect_settings(context.params["env"], context.params["assignments"], context.params)
        build_settings({key: _replace_references(key, origin, origins) for key, origin in origins.items()})
    except click.UsageError as error:
        return [error.format_message()]
    except SettingsError as error:  # what this shell's variables say is no fault of the bundle
        return [fault for fault in error.faults if not fault.startswith("environment variable")]
    return []


def _replace_references(key: str, origin: SourcedValue, origins: dict[str, SourcedValue]) -> SourcedValue:
    """Replace a value that is not known before the run by a harmless one: the default."""
    from pipelines.config.loader import load_sourced_values

    is_open = isinstance(origin.value, str) and ("${" in origin.value or "{{" in origin.value)
    return load_sourced_values().get(key, origin) if is_open else origin
