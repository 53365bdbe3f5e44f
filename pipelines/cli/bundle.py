"""The command `irbis bundle render`: print the Databricks jobs or the serving endpoint without a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipelines.cli.options import irbis
from pipelines.errors import SettingsError


@irbis.group()
def bundle() -> None:
    """Show the jobs and the endpoint of deploy/databricks before they are deployed."""


@bundle.command("render")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--target", metavar="dev|prod", required=True, help="Target in databricks.yml.")
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Variable of databricks.yml.")
@click.option("--user", metavar="ADDRESS", help="Deploying user; default: keep ${workspace.current_user...}.")
def render_bundle(folder: Path | None, target: str, variables: tuple[str, ...], user: str | None) -> None:
    """Print the jobs of a bundle, or its serving endpoint, as they would be created, as JSON for their APIs."""
    from pipelines.databricks.bundle import render_resources

    values = {}
    for text in variables:
        name, equals, values[name] = text.partition("=")
        if not equals:
            raise SettingsError(f"--var {text}: write NAME=VALUE, such as --var catalog=main.")
    click.echo(json.dumps(render_resources(target, values, user=user, folder=folder), indent=2, ensure_ascii=False))
