"""The commands `irbis datasets`: named sources of images."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from pipelines.cli.options import common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets


class ListByDefault(click.Group):
    """Group whose default command is `list`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(context, args)


@irbis.group(cls=ListByDefault)
def datasets() -> None:
    """Manage named image sources with their label and station rules; without a command: list them."""


@datasets.command("list")
@common_options
def list_datasets(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """List the datasets with their images and last ingest."""
    from pipelines.stages.datasets import as_table, list_datasets

    click.echo(as_table(_call_with_session(list_datasets, origins, verbose)))


@datasets.command("add")
@click.argument("name")
@common_options
def add_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str) -> None:
    """Register --images, --labels and --set sources.station=... under a name."""
    from pipelines.stages.datasets import add

    click.echo(_call_with_session(add, origins, verbose, name))


@datasets.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def show_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str, as_json: bool) -> None:
    """Show a dataset: counts by label, size, dates and last ingest."""
    from pipelines.stages.datasets import as_text, show_dataset

    shown = _call_with_session(show_dataset, origins, verbose, name)
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False, default=str) if as_json else as_text(shown))


@datasets.command("remove")
@click.argument("name")
@common_options
def remove_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str) -> None:
    """Remove a name; its images stay in the workspace."""
    from pipelines.stages.datasets import remove

    click.echo(_call_with_session(remove, origins, verbose, name))


def _call_with_session(
    function: Callable[..., Any], origins: dict[str, SourcedValue], verbose: bool, *names: str
) -> Any:
    from pipelines.spark.session import get_session

    settings = resolve_secrets(build_settings(origins))
    return function(get_session(settings, verbose=verbose, cache_classes=False), settings, *names)
