"""The commands `irbis bundle`: check and render the Databricks jobs without a workspace."""

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
    """Check and render the jobs of deploy/databricks before they are deployed."""


@bundle.command("check")
@FOLDER
def check_bundle(folder: Path | None) -> None:
    """Report problems of the bundle that its schema does not catch; exit with code 2 if there are any."""
    from pipelines.databricks.bundle import read_bundle
    from pipelines.databricks.validate import validate_bundle

    parsed = read_bundle(folder)
    try:
        faults = validate_bundle(parsed, validate_task_parameters)
    except (AttributeError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{parsed.root} does not match the schema of a bundle ({error!r}). To find the line, run check-jsonschema "
            "with the output of `databricks bundle schema`."
        ) from error
    if faults:
        raise SettingsError(faults)
    click.echo(f"{parsed.root}: {len(parsed.files)} jobs for {' and '.join(parsed.targets)}, no problems found.")


@bundle.command("render")
@FOLDER
@click.option("--target", metavar="dev|prod", required=True, help="Target in databricks.yml.")
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Variable of databricks.yml.")
@click.option("--user", metavar="ADDRESS", help="Deploying user; default: keep ${workspace.current_user...}.")
def render_bundle(folder: Path | None, target: str, variables: tuple[str, ...], user: str | None) -> None:
    """Print the jobs as they would be created, as JSON for the Jobs API."""
    from pipelines.databricks.bundle import render_jobs

    values = {}
    for text in variables:
        name, equals, values[name] = text.partition("=")
        if not equals:
            raise SettingsError(f"--var {text}: write NAME=VALUE, such as --var catalog=main.")
    click.echo(json.dumps(render_jobs(target, values, user=user, folder=folder), indent=2, ensure_ascii=False))


def validate_task_parameters(name: str, parameters: Sequence[str]) -> list[str]:
    """Return the faults a command finds in its parameters. Values that only Databricks fills in are skipped."""
    command = irbis.commands.get(name)
    if command is None:
        return [f"there is no command `irbis {name}`."]
    try:
        context = command.make_context(name, list(parameters), help_option_names=[])  # a task must not only print help
        origins = collect_settings(context.params["env"], context.params["assignments"], context.params)
        build_settings({key: _replace_references(key, origin, origins) for key, origin in origins.items()})
    except click.UsageError as error:
        return [error.format_message()]
    except SettingsError as error:  # environment variables of this shell are no fault of the bundle
        return [fault for fault in error.faults if not fault.startswith("environment variable")]
    return []


def _replace_references(key: str, origin: SourcedValue, origins: dict[str, SourcedValue]) -> SourcedValue:
    """Replace a value that is unknown before the run by the default, which is valid."""
    from pipelines.config.loader import load_sourced_values

    is_reference = isinstance(origin.value, str) and ("${" in origin.value or "{{" in origin.value)
    return load_sourced_values().get(key, origin) if is_reference else origin
