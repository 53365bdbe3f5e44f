"""Commands that run stages: one stage, all of them, or all of them on the demo set."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.errors import UserError
from pipelines.runs.package import non_default_settings
from pipelines.stages.result import StageResult

if TYPE_CHECKING:
    from pipelines.runs.recorder import RunRecorder

STAGES = ("ingest", "featurize", "train", "score", "report")


@irbis.command()
@common_options
def run(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Run all five stages; each does only what is missing."""
    _run_all(["run"], origins, verbose)


@irbis.command()
@common_options
def demo(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Draw a sample set of camera-trap images and run all stages on it (or on --images)."""
    images = origins["sources.images"].value or "drawn camera-trap images"
    click.echo(f"demo: running {', '.join(STAGES[:-1])} and {STAGES[-1]} on {images}", err=True)
    from pipelines.demo.demo import next_steps, with_sample_set

    origins = with_sample_set(origins)
    _run_all(["demo"], origins, verbose)
    for line in next_steps(origins):
        click.echo(line)


@irbis.command()
@common_options
def score(origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Predict with the champion; with --images DIR, ingest and featurize the new images first."""
    sources = {origins[f"sources.{name}"].source for name in ("images", "dataset")}
    if not sources & {"--images", "--dataset"}:
        return run_stages(("score",), origins, verbose)
    if "--dataset" not in sources and origins["sources.labels"].source != "--labels":  # folders of a new set: no labels
        origins["sources.labels"] = SourcedValue("none", "irbis score")
    settings = build_settings(origins)
    from pipelines.stages.score.stage import require_backbone

    require_backbone(settings)
    run_stages(["score"], origins, verbose, ("ingest", "featurize", "score"))


@irbis.command()
@click.option("--watch", is_flag=True, help="Keep polling for new images every ingest.poll_seconds; Ctrl-C stops.")
@common_options
def ingest(origins: dict[str, SourcedValue], verbose: bool, watch: bool) -> None:
    """Read new and changed images into the table images."""
    if not watch:
        return run_stages(("ingest",), origins, verbose)
    from pipelines.spark.session import get_session
    from pipelines.stages.ingest.watch import watch as watch_source

    settings = resolve_secrets(build_settings(origins))
    _validate_access(("ingest",), settings)
    spark = get_session(settings, verbose=verbose)
    settings = apply_dataset(origins, spark, settings)
    click.echo(f"ingest: watching every {settings.ingest.poll_seconds:g} s; Ctrl-C stops", err=True)
    for result in watch_source(spark, settings):
        print_result(result)


def _stage_command(name: str, text: str) -> None:
    def command(origins: dict[str, SourcedValue], verbose: bool) -> None:
        run_stages((name,), origins, verbose)

    command.__doc__ = text
    irbis.command(name)(common_options(command))


_stage_command("featurize", "Compute missing features.")
_stage_command("report", "Write the report as a single HTML file.")


def _run_all(words: Sequence[str], origins: dict[str, SourcedValue], verbose: bool) -> None:
    """Run the five stages. Skips them, without starting Spark, if nothing has changed since the last run."""
    from pipelines.runs.recorder import record_run
    from pipelines.runs.skip_unchanged import cached_results, input_digest, save_digest

    with (
        locked_workspace(STAGES, origins) as settings,
        record_run(words, settings, non_default_settings(origins)[0]) as recorder,
    ):
        inputs = input_digest(settings)
        if results := cached_results(settings, inputs):
            click.echo("Nothing has changed since the last run.", err=True)
            for result in results:
                print_result(result, recorder)
        else:
            save_digest(settings, inputs, list(_iter_results(STAGES, origins, settings, verbose, recorder)))


def run_stages(
    words: Sequence[str], origins: dict[str, SourcedValue], verbose: bool, names: Sequence[str] = ()
) -> None:
    """Run the stages of `names`, by default `words`, and record the run as the command `words`."""
    from pipelines.runs.recorder import record_run

    names = names or words
    with (
        locked_workspace(names, origins) as settings,
        record_run(words, settings, non_default_settings(origins)[0]) as recorder,
    ):
        for _ in _iter_results(names, origins, settings, verbose, recorder):
            pass


@contextmanager
def locked_workspace(names: Sequence[str], origins: dict[str, SourcedValue]) -> Iterator[Settings]:
    """Yield the validated settings of a run of these stages; lock the workspace unless there are none."""
    from pipelines.spark.preflight import require_usable_machine, tracking_notes
    from pipelines.tracking.local_store import require_champion_files
    from pipelines.workspace.hold import hold_workspace

    settings = resolve_secrets(build_settings(origins))
    try:
        require_usable_machine(settings)
        uses_champion = {"score", "explain"} & set(names) and settings.score.model_version == "champion"
        if {"train", "report"} & set(names) or uses_champion:
            require_champion_files(settings)
        _validate_access(names, settings)
    except UserError as error:
        if settings.runs.id:  # submitted from another machine
            from pipelines.runs.recorder import record_rejected_run

            record_rejected_run(names, settings, error)
        raise
    if set(names) & {"train", "score", "explain", "report"}:
        for note in tracking_notes(settings):
            click.echo(f"irbis: note: {note}", err=True)
    with hold_workspace(settings) if names else nullcontext():
        yield settings


def _iter_results(
    names: Sequence[str], origins: dict[str, SourcedValue], settings: Settings, verbose: bool, recorder: RunRecorder
) -> Iterator[StageResult]:
    """Run the stages, print and record each result, and yield it."""
    with ThreadPoolExecutor(1) as loader:
        # Imported here because Java, Spark and MLflow take seconds to load.
        from pipelines.spark.launch import java_forked
        from pipelines.spark.runtime import is_external_session, tune_codegen
        from pipelines.spark.session import get_session
        from pipelines.workspace.tables import Tables

        may_import = java_forked()
        try:
            # Each stage is imported while Spark starts or the previous stage runs.
            loader.submit(may_import.wait)
            stages = [loader.submit(_load_stage, name, settings) for name in names]
            spark = get_session(settings, verbose=verbose)
            may_import.set()  # if Spark was running already
            recorder.attach_session(spark)
            settings = apply_dataset(origins, spark, settings)
            # Code generation is tuned for local sessions only; on a cluster the count would cost a query.
            rows = 0 if is_external_session() else Tables.of(spark, settings).approximate_count("images")
            for name, stage in zip(names, stages, strict=True):
                tune_codegen(spark, rows, name)
                result = stage.result().run(spark, settings)
                print_result(result, recorder)
                yield result
        finally:
            loader.shutdown(wait=False, cancel_futures=True)
            may_import.set()


def _validate_access(names: Sequence[str], settings: Settings) -> None:
    """Raise errors for missing packages, wrong addresses or credentials before Spark starts.

    Access from Spark is not checked if it is already running.
    """
    from pipelines.azure.hadoop import hadoop_access_conf
    from pipelines.sources.registry import open_source
    from pipelines.spark.runtime import is_external_session

    if {"featurize", "explain"} & set(names):
        from pipelines.engines import require_packages

        require_packages(settings)
    if "detect" in names:
        from pipelines.engines.detector import require_detector_file

        require_detector_file(settings.detect.detector)
    if "ingest" in names and not settings.sources.dataset:
        open_source(settings)
    if not is_external_session():
        hadoop_access_conf(settings)


def print_result(result: StageResult, recorder: RunRecorder | None = None) -> None:
    """Print the notes and the closing line of a stage, and add the result to the run's record if there is one."""
    for note in result.notes:
        click.echo(f"{result.stage}: note: {note}", err=True)
    click.echo(result.closing_line())
    if recorder:
        recorder.add(result)


def _load_stage(name: str, settings: Settings) -> Any:
    """Import a stage and call its `prepare(settings)`, if it has one, which needs no Spark."""
    stage = importlib.import_module(f"pipelines.stages.{name}.stage")
    if prepare := getattr(stage, "prepare", None):
        prepare(settings)
    return stage
