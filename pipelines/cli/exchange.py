"""The commands `irbis export` and `irbis import`: exchange labels and predictions with other programs."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.filters import filter_options
from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.exchange.filters import Filters


@irbis.command("export")
@click.option("--to", "name", metavar="FORMAT", required=True, help="Format, such as flat or timelapse.")
@click.option("--out", metavar="DIR", help="Folder for the files; default: WORKSPACE/exports/FORMAT.")
@filter_options
@common_options
def export_images(
    origins: dict[str, SourcedValue],
    verbose: bool,
    name: str,
    out: str | None,
    filters: Filters,
) -> None:
    """Write images with their labels and predictions in the format of another program."""
    from pipelines.exchange.export import export, find_exporter
    from pipelines.spark.session import get_session

    find_exporter(name)  # before Spark starts
    settings = resolve_secrets(build_settings(origins))
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    folder = Path(out) if out else None
    result = export(spark, apply_dataset(origins, spark, settings), name, folder, filters)
    for note in result.notes:
        click.echo(f"export: note: {note}", err=True)
    for line in result.closing_lines():
        click.echo(line)


@irbis.command("import")
@click.argument("file")
@click.option("--format", "name", metavar="FORMAT", default="auto", show_default=True, help="Format of the file.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--machine", is_flag=True, help="Also take a model's labels, for images that have none.")
@common_options
def import_labels(
    origins: dict[str, SourcedValue], verbose: bool, file: str, name: str, dry_run: bool, machine: bool
) -> None:
    """Read labels and boxes from the file of another program; labels become decisions of people."""
    from pipelines.exchange.imports import find_format, import_file
    from pipelines.spark.session import get_session

    find_format(Path(file).expanduser(), name)  # before Spark starts
    settings = resolve_secrets(build_settings(origins))
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    settings = apply_dataset(origins, spark, settings)
    result = import_file(spark, settings, file, name, is_dry_run=dry_run, with_machine=machine)
    for note in result.notes:
        click.echo(f"import: note: {note}", err=True)
    for line in result.lines():
        click.echo(line)
