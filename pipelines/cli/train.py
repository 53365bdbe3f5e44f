"""Commands for training: train, and sweep, the hyperparameter search."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.cli.stages import locked_workspace, print_result, run_stages
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.runs.package import non_default_settings


@irbis.command()
@click.option("--compare-splits", is_flag=True, help="Only print the accuracy that a random split would claim.")
@common_options
def train(origins: dict[str, SourcedValue], verbose: bool, compare_splits: bool) -> None:
    """Train a classifier and register it as a model version."""
    if not compare_splits:
        return run_stages(("train",), origins, verbose)
    from pipelines.spark.session import get_session
    from pipelines.stages.train.compare_splits import compare_splits_report

    settings = resolve_secrets(build_settings(origins))
    click.echo(compare_splits_report(get_session(settings, verbose=verbose, cache_classes=False), settings))


@irbis.command()
@click.argument("file", metavar="FILE")
@click.option("--init", "only_init", is_flag=True, help="Only compute the features, before shards run in parallel.")
@click.option("--shard", metavar="I/N", help="Run shard I of N; other processes run the others.")
@common_options
def sweep(origins: dict[str, SourcedValue], verbose: bool, file: str, only_init: bool, shard: str | None) -> None:
    """Search hyperparameters by the plan in FILE, such as conf/sweeps/penalties.yaml; resumes if interrupted."""
    from pipelines.runs.recorder import record_run
    from pipelines.stages.sweep.plan import Shard, read_plan

    if shard and only_init:
        raise click.UsageError("--init is for all shards at once: give either --init or --shard.")
    part, plan = Shard.parse(shard or "1/1"), read_plan(file, origins)
    words = ["sweep", str(Path(file).absolute())]
    writes = ("sweep",) if part.is_all else ()  # one shard of several writes only trials, to MLflow
    with (
        locked_workspace(writes, origins) as settings,
        record_run(words, settings, non_default_settings(origins)[0]) as recorder,
    ):
        from pipelines.spark.session import get_session
        from pipelines.stages.featurize import stage as featurize
        from pipelines.stages.sweep.stage import init_sweep, run

        spark = get_session(_with_lightgbm_jars(settings, plan.choices("train.classifier", None)), verbose=verbose)
        recorder.attach_session(spark)
        settings = apply_dataset(origins, spark, settings)
        for chosen in plan.feature_settings(origins) if part.is_all else ():  # features are computed once
            print_result(featurize.run(spark, resolve_secrets(build_settings(chosen))), recorder)
        name = Path(file).stem
        result = (
            init_sweep(spark, settings, plan, name) if only_init else run(spark, settings, plan, name, origins, part)
        )
        print_result(result, recorder)


def _with_lightgbm_jars(settings: Settings, classifiers: list[str]) -> Settings:
    """Return settings whose Spark session loads the jars of LightGBM if any of the classifiers needs them."""
    if "lightgbm" not in classifiers:
        return settings
    return settings.model_copy(update={"train": settings.train.model_copy(update={"classifier": "lightgbm"})})
