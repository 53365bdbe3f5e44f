"""Commands for administration: upload, promote, rollback, config, status, clean, doctor."""

from __future__ import annotations

import json

import click

from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.redaction import redact


@irbis.command()
@click.argument("folder", metavar="DIR")
@click.argument("address", metavar="az://ACCOUNT/CONTAINER/PREFIX")
@click.option("--dry-run", is_flag=True, help="Only print what would be uploaded.")
@common_options
def upload(origins: dict[str, SourcedValue], verbose: bool, folder: str, address: str, dry_run: bool) -> int:
    """Upload a folder of images to a container, skipping existing files; writes labels.csv from folders."""
    from pipelines.stages.upload import upload_folder

    origins["sources.images"] = SourcedValue(address, "irbis upload")
    lines, is_complete = upload_folder(folder, resolve_secrets(build_settings(origins)), dry_run)
    for line in lines:
        click.echo(line)
    return 0 if is_complete else 1


@irbis.command()
@click.argument("version", metavar="VERSION")
@click.option("--reason", required=True, help="Why; recorded on the version with your user name and the time.")
@common_options
def promote(origins: dict[str, SourcedValue], verbose: bool, version: str, reason: str) -> None:
    """Promote a model version to champion, even if it failed the gate."""
    from pipelines.tracking import promotion
    from pipelines.tracking.mlflow_client import Tracking

    click.echo(promotion.promote(Tracking.of(resolve_secrets(build_settings(origins))), version, reason))


@irbis.command()
@click.option("--reason", required=True, help="Why; recorded on the version with your user name and the time.")
@common_options
def rollback(origins: dict[str, SourcedValue], verbose: bool, reason: str) -> None:
    """Make the previous champion the champion again."""
    from pipelines.tracking import promotion
    from pipelines.tracking.mlflow_client import Tracking

    click.echo(promotion.rollback(Tracking.of(resolve_secrets(build_settings(origins))), reason))


@irbis.command()
@common_options
def config(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Show the effective settings and the source of each value."""
    build_settings(origins)
    width = max(map(len, origins))
    for key, origin in origins.items():
        value = json.dumps(redact({key: origin.value})[key], ensure_ascii=False)
        click.echo(f"{key:{width}}  {value:30}  {origin.source}")


@irbis.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def status(origins: dict[str, SourcedValue], verbose: bool, as_json: bool) -> None:
    """Show the tables, the work left for each stage, the champion and its challenger."""
    from pipelines.spark.session import get_session
    from pipelines.status import as_text, collect_status

    settings = resolve_secrets(build_settings(origins))
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    collected = collect_status(spark, apply_dataset(origins, spark, settings))
    click.echo(json.dumps(collected, indent=2, ensure_ascii=False) if as_json else as_text(collected))


@irbis.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@common_options
def clean(origins: dict[str, SourcedValue], verbose: bool, dry_run: bool) -> None:
    """Free disk space: images deleted from their source, leftovers of failed runs, old run records and caches."""
    from pipelines.cleanup.clean import WorkspaceCleaner
    from pipelines.spark.session import get_session
    from pipelines.workspace.hold import hold_workspace

    settings = resolve_secrets(build_settings(origins))
    with hold_workspace(settings):
        for line in WorkspaceCleaner(settings, dry_run).run(
            lambda: get_session(settings, verbose=verbose, cache_classes=False)
        ):
            click.echo(f"clean: {line}")


@irbis.command()
@common_options
def doctor(origins: dict[str, SourcedValue], verbose: bool) -> int:
    """Check Python, Java, Spark, packages, environment variables, memory, GPU, weights and folders; print remedies."""
    from pipelines.doctor import run_checks

    checks = run_checks(build_settings(origins), verbose=verbose)
    for check in checks:
        click.echo(check.line())
    return 0 if all(check.is_ok for check in checks) else 2
