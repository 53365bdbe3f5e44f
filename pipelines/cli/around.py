"""The commands around the stages: upload, promote, rollback, config, status, doctor."""

from __future__ import annotations

import json

import click

from pipelines.cli.group import irbis, options, with_dataset
from pipelines.config import Origin, validated
from pipelines.masking import masked
from pipelines.platform.secrets import revealed


@irbis.command()
@click.argument("folder", metavar="DIR")
@click.argument("address", metavar="az://ACCOUNT/CONTAINER/PREFIX")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@options
def upload(origins: dict[str, Origin], verbose: bool, folder: str, address: str, dry_run: bool) -> int:
    """Send the pictures of a folder to a container, skipping what is there; labels by folder become a labels.csv."""
    from pipelines.stages.upload import send

    origins["sources.images"] = Origin(address, "irbis upload")
    lines, is_whole = send(folder, revealed(validated(origins)), dry_run)
    for line in lines:
        click.echo(line)
    return 0 if is_whole else 1


@irbis.command()
@click.argument("version", metavar="VERSION")
@click.option("--reason", required=True, help="Why; it is written on the version, with your name and the time.")
@options
def promote(origins: dict[str, Origin], verbose: bool, version: str, reason: str) -> None:
    """Make a model version champion, whatever the gate said of it."""
    from pipelines.platform import crowning
    from pipelines.platform.tracking import Tracking

    click.echo(crowning.promote(Tracking.of(revealed(validated(origins))), version, reason))


@irbis.command()
@click.option("--reason", required=True, help="Why; it is written on the version, with your name and the time.")
@options
def rollback(origins: dict[str, Origin], verbose: bool, reason: str) -> None:
    """Make the version champion that was it before."""
    from pipelines.platform import crowning
    from pipelines.platform.tracking import Tracking

    click.echo(crowning.rollback(Tracking.of(revealed(validated(origins))), reason))


@irbis.command()
@options
def config(origins: dict[str, Origin], verbose: bool) -> None:
    """Show the settings in force and where each comes from."""
    validated(origins)
    width = max(map(len, origins))
    for key, origin in origins.items():
        value = json.dumps(masked({key: origin.value})[key], ensure_ascii=False)
        click.echo(f"{key:{width}}  {value:30}  {origin.source}")


@irbis.command()
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@options
def status(origins: dict[str, Origin], verbose: bool, as_json: bool) -> None:
    """Show the tables, what is missing at each stage, the champion and its challenger."""
    from pipelines.platform.session import get_session
    from pipelines.stages.status import as_text, collect_status

    settings = revealed(validated(origins))
    spark = get_session(settings, verbose=verbose, is_brief=True)
    found = collect_status(spark, with_dataset(origins, spark, settings))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else as_text(found))


@irbis.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options
def clean(origins: dict[str, Origin], verbose: bool, dry_run: bool) -> None:
    """Free the disk: images that are gone from their source, left-overs of runs, old records and caches."""
    from pipelines.platform.session import get_session
    from pipelines.stages.clean import Clean
    from pipelines.stages.holding import hold_workspace

    settings = revealed(validated(origins))
    with hold_workspace(settings):
        for line in Clean(settings, dry_run).run(lambda: get_session(settings, verbose=verbose, is_brief=True)):
            click.echo(f"clean: {line}")


@irbis.command()
@options
def doctor(origins: dict[str, Origin], verbose: bool) -> int:
    """Check Python, Java, Spark, packages, variables, memory, GPU, weights and folders; say what to do."""
    from pipelines.stages.doctor import examine

    findings = examine(validated(origins), verbose=verbose)
    for finding in findings:
        click.echo(finding.line())
    return 0 if all(finding.is_ok for finding in findings) else 2
