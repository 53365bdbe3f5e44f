"""Command that says what to label next."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets


@irbis.command()
@click.option("--count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Number of bursts.")
@click.option("--find", metavar="LABEL", help="Find all images of LABEL: the most probable bursts first.")
@click.option("--out", metavar="FILE.csv", help="Also write the suggestions to a CSV file.")
@common_options
def suggest(origins: dict[str, SourcedValue], verbose: bool, count: int, find: str | None, out: str | None) -> None:
    """Choose the bursts to label next, without a model or with the champion; `irbis review` shows them."""
    from pipelines.review import suggestions
    from pipelines.spark.session import get_session

    settings = resolve_secrets(build_settings(origins))
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    result = suggestions.suggest(spark, apply_dataset(origins, spark, settings), count, find)
    if out:
        suggestions.write_csv(result.items, Path(out))
    for note in result.notes:
        click.echo(f"suggest: note: {note}", err=True)
    if result.items:
        click.echo(result.table())
    click.echo(result.closing_line)
    if result.items:
        click.echo("Next: irbis review --queue suggest")
