"""The command `irbis`: one word a stage, `run` for all of them, and what helps around them."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from pipelines import __version__
from pipelines.config import Origin, load_origins, masked, validated
from pipelines.errors import SettingsError, UserError
from pipelines.platform.secrets import revealed
from pipelines.settings import Settings

STAGES = ("ingest", "featurize", "train", "score", "report")
SHORT_FORMS = {
    "images": ("sources.images", "DIR", "Folder of pictures, read with its subfolders."),
    "labels": ("sources.labels", "CSV", "Labels: a CSV or Parquet file, `folder`, `folder:N` or `none`."),
    "workspace": ("workspace", "DIR", "Where tables, MLflow's database, reports and logs live."),
    "backbone": ("featurize.backbone", "NAME", "Pretrained network that makes the features."),
    "weights": ("featurize.weights", "FILE", "Its weights, .safetensors or .pth."),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Leaves by SystemExit only on failure: 2 for what the user can mend.

    Success returns, because schedulers such as Databricks take any SystemExit for a failed job.
    """
    try:
        code = irbis.main(list(sys.argv[1:] if arguments is None else arguments), "irbis", standalone_mode=False)
    except UserError as error:
        for fault in error.faults:
            click.echo(f"irbis: {fault}", err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        logging.disable(logging.CRITICAL)  # Spark's end is noisy when it comes in the middle of something
        click.echo("irbis: stopped. What was committed stays; the same command goes on from there.", err=True)
        raise SystemExit(130) from None
    if code:
        raise SystemExit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="irbis")
def irbis() -> None:
    """Pictures to features to predictions, on Spark."""


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all commands have; it gets them as `origins` and `verbose`."""

    def wrapped(env: str | None, assignments: tuple[str, ...], verbose: bool, **given: Any) -> Any:
        overrides: dict[str, Any] = dict(_assignment(text) for text in assignments)
        for name, (key, _, _) in SHORT_FORMS.items():
            value = given.pop(name)
            if value is not None:
                overrides[key] = Origin(value, f"--{name}")
        return command(origins=load_origins(env, overrides), verbose=verbose, **given)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__dict__.update(command.__dict__)
    for name, (_, metavar, text) in reversed(SHORT_FORMS.items()):
        wrapped = click.option(f"--{name}", metavar=metavar, help=text)(wrapped)
    wrapped = click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Any setting.")(wrapped)
    wrapped = click.option("--env", metavar="NAME", help="Settings of conf/NAME.yaml, or a .yaml file.")(wrapped)
    return click.option("--verbose", is_flag=True, help="Show what Spark and Ivy say.")(wrapped)


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: write KEY=VALUE, such as --set train.max_iter=50.")
    return key.strip(), value.strip()


@irbis.command()
@options
def run(origins: dict[str, Origin], verbose: bool) -> None:
    """All five stages, each doing only what is missing."""
    _run_stages(STAGES, validated(origins), verbose)


@irbis.command()
@options
def demo(origins: dict[str, Origin], verbose: bool) -> None:
    """Draw a sample set of camera-trap pictures and run all stages on it (or on --images)."""
    from pipelines.stages.demo import demo_settings

    _run_stages(STAGES, validated(demo_settings(origins)), verbose)


@irbis.command()
@options
def score(origins: dict[str, Origin], verbose: bool) -> None:
    """Predict with the champion; --images DIR takes a new set through ingest and featurize first."""
    if origins["sources.images"].source != "--images":
        return _run_stages(("score",), validated(origins), verbose)
    if origins["sources.labels"].source != "--labels":  # a new set's folders are no labels
        origins["sources.labels"] = Origin("none", "irbis score")
    settings = validated(origins)
    from pipelines.stages.score import require_backbone

    require_backbone(settings)
    _run_stages(("ingest", "featurize", "score"), settings, verbose)


def _stage_command(name: str, text: str) -> None:
    def command(origins: dict[str, Origin], verbose: bool) -> None:
        _run_stages((name,), validated(origins), verbose)

    command.__doc__ = text
    irbis.command(name)(options(command))


_stage_command("ingest", "Read new and changed pictures into the table images.")
_stage_command("featurize", "Compute the features that are missing.")
_stage_command("train", "Train a classifier and register it.")
_stage_command("report", "Write the report, one HTML file.")


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
    """Show the tables, what is missing at each stage, and the champion."""
    from pipelines.platform.session import get_session
    from pipelines.stages.status import as_text, collect_status

    settings = revealed(validated(origins))
    found = collect_status(get_session(settings, verbose=verbose), settings)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else as_text(found))


@irbis.command()
@options
def doctor(origins: dict[str, Origin], verbose: bool) -> int:
    """Look at Python, Java, Spark, packages, memory, GPU, weights and folders; say what to do."""
    from pipelines.stages.doctor import examine

    findings = examine(validated(origins), verbose=verbose)
    for finding in findings:
        click.echo(finding.line())
    return 0 if all(finding.is_ok for finding in findings) else 2


def _run_stages(names: Sequence[str], settings: Settings, verbose: bool) -> None:
    from pipelines.platform.lock import workspace_lock
    from pipelines.storage.sources import open_source

    settings = revealed(settings)
    if "ingest" in names:
        open_source(settings)  # a wrong address is told of before Spark starts
    with workspace_lock(settings.workspace), ThreadPoolExecutor(1) as loader:
        # As late as this: Java, Spark and MLflow take seconds to load.
        from pipelines.platform.session import get_session

        try:
            # Beside one another: each stage loads while Spark starts or the stage before it is at work.
            stages = [loader.submit(_loaded, name, settings) for name in names]
            spark = get_session(settings, verbose=verbose)
            for stage in stages:
                result = stage.result().run(spark, settings)
                for note in result.notes:
                    click.echo(f"{result.stage}: note: {note}", err=True)
                click.echo(result.closing_line())
        finally:
            loader.shutdown(wait=False, cancel_futures=True)


def _loaded(name: str, settings: Settings) -> Any:
    """Import a stage and let it prepare what takes no Spark, if it has something to prepare."""
    stage = importlib.import_module(f"pipelines.stages.{name}")
    if prepare := getattr(stage, "prepare", None):
        prepare(settings)
    return stage


if __name__ == "__main__":
    main()
