"""The commands `irbis datasets`: sources of images under names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from pipelines.cli.options import common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets


class ListByDefault(click.Group):
    """Take options without a word as those of `list`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(context, args)


@irbis.group(cls=ListByDefault)
def datasets() -> None:
    """Name sources of images with their label and station rules; without another word: list them."""


@datasets.command("list")
@common_options
def list_datasets(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Show every name with its images and last ingest."""
    from pipelines.stages.datasets import as_table, list_datasets

    click.echo(as_table(_call_with_session(list_datasets, origins, verbose)))


@datasets.command("add")
@click.argument("name")
@common_options
def add_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str) -> None:
    """Register --images, with --labels and --set sources.station=..., under a name."""
    from pipelines.stages.datasets import add

    click.echo(_call_with_session(add, origins, verbose, name))


@datasets.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@common_options
def show_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str, as_json: bool) -> None:
    """Show counts by label, size, dates and the last ingest."""
    from pipelines.stages.datasets import as_text, show_dataset

    found = _call_with_session(show_dataset, origins, verbose, name)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False, default=str) if as_json else as_text(found))


@datasets.command("remove")
@click.argument("name")
@common_options
def remove_dataset(origins: dict[str, SourcedValue], verbose: bool, name: str) -> None:
    """Forget a name; its images stay."""
    from pipelines.stages.datasets import remove

    click.echo(_call_with_session(remove, origins, verbose, name))


def _call_with_session(act: Callable[..., Any], origins: dict[str, SourcedValue], verbose: bool, *words: str) -> Any:
    from pipelines.spark.session import get_session

    settings = resolve_secrets(build_settings(origins))
    return act(get_session(settings, verbose=verbose, cache_classes=False), settings, *words)
