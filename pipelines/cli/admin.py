"""The commands around the stages: upload, promote, rollback, config, status, doctor."""

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
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@common_options
def upload(origins: dict[str, SourcedValue], verbose: bool, folder: str, address: str, dry_run: bool) -> int:
    """Send the images of a folder to a container, skipping what is there; labels by folder become a labels.csv."""
    from pipelines.stages.upload import upload_folder

    origins["sources.images"] = SourcedValue(address, "irbis upload")
    lines, is_whole = upload_folder(folder, resolve_secrets(build_settings(origins)), dry_run)
    for line in lines:
        click.echo(line)
    return 0 if is_whole else 1


@irbis.command()
@click.argument("version", metavar="VERSION")
@click.option("--reason", required=True, help="Why; it is written on the version, with your name and the time.")
@common_options
def promote(origins: dict[str, SourcedValue], verbose: bool, version: str, reason: str) -> None:
    """Make a model version champion, whatever the gate said of it."""
    from pipelines.tracking import promotion
    from pipelines.tracking.mlflow_client import Tracking

    click.echo(promotion.promote(Tracking.of(resolve_secrets(build_settings(origins))), version, reason))


@irbis.command()
@click.option("--reason", required=True, help="Why; it is written on the version, with your name and the time.")
@common_options
def rollback(origins: dict[str, SourcedValue], verbose: bool, reason: str) -> None:
    """Make the version champion that was it before."""
    from pipelines.tracking import promotion
    from pipelines.tracking.mlflow_client import Tracking

    click.echo(promotion.rollback(Tracking.of(resolve_secrets(build_settings(origins))), reason))


@irbis.command()
@common_options
def config(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Show the settings in force and where each comes from."""
    build_settings(origins)
    width = max(map(len, origins))
    for key, origin in origins.items():
        value = json.dumps(redact({key: origin.value})[key], ensure_ascii=False)
        click.echo(f"{key:{width}}  {value:30}  {origin.source}")


@irbis.command()
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@common_options
def status(origins: dict[str, SourcedValue], verbose: bool, as_json: bool) -> None:
    """Show the tables, what is missing at each stage, the champion and its challenger."""
    from pipelines.spark.session import get_session
    from pipelines.status import as_text, collect_status

    settings = resolve_secrets(build_settings(origins))
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    found = collect_status(spark, apply_dataset(origins, spark, settings))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else as_text(found))


@irbis.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@common_options
def clean(origins: dict[str, SourcedValue], verbose: bool, dry_run: bool) -> None:
    """Free the disk: images that are gone from their source, left-overs of runs, old records and caches."""
    from pipelines.cleanup.clean import Clean
    from pipelines.spark.session import get_session
    from pipelines.workspace.hold import hold_workspace

    settings = resolve_secrets(build_settings(origins))
    with hold_workspace(settings):
        for line in Clean(settings, dry_run).run(lambda: get_session(settings, verbose=verbose, cache_classes=False)):
            click.echo(f"clean: {line}")


@irbis.command()
@common_options
def doctor(origins: dict[str, SourcedValue], verbose: bool) -> int:
    """Check Python, Java, Spark, packages, variables, memory, GPU, weights and folders; say what to do."""
    from pipelines.doctor import run_checks

    findings = run_checks(build_settings(origins), verbose=verbose)
    for finding in findings:
        click.echo(finding.line())
    return 0 if all(finding.is_ok for finding in findings) else 2
