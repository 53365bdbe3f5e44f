"""The commands that learn: train, and sweep, which looks for what to train with."""

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
@click.option("--compare-splits", is_flag=True, help="Only print what a random split of frames would have claimed.")
@common_options
def train(origins: dict[str, SourcedValue], verbose: bool, compare_splits: bool) -> None:
    """Train a classifier and register it."""
    if not compare_splits:
        return run_stages(("train",), origins, verbose)
    from pipelines.spark.session import get_session
    from pipelines.stages.train.compare_splits import compare_splits_report

    settings = resolve_secrets(build_settings(origins))
    click.echo(compare_splits_report(get_session(settings, verbose=verbose, cache_classes=False), settings))


@irbis.command()
@click.argument("file", metavar="FILE")
@click.option("--begin", "only_begin", is_flag=True, help="Only compute the features, for processes that then share.")
@click.option("--share", metavar="I/N", help="Try the share I of N, beside the processes that try the others.")
@common_options
def sweep(origins: dict[str, SourcedValue], verbose: bool, file: str, only_begin: bool, share: str | None) -> None:
    """Try the settings that a plan names, such as conf/sweeps/penalties.yaml; an interrupted sweep goes on."""
    from pipelines.runs.recorder import record_run
    from pipelines.stages.sweep.plan import Shard, read_plan

    if share and only_begin:
        raise click.UsageError("--begin is for all shares at once: give one of them, or --share.")
    part, plan = Shard.of(share or "1/1"), read_plan(file, origins)
    backbones = plan.choices("featurize.backbone", origins["featurize.backbone"].value)
    words = ["sweep", str(Path(file).absolute())]
    writes = ("sweep",) if part.is_all else ()  # a share writes trials alone
    with (
        locked_workspace(writes, origins) as settings,
        record_run(words, settings, non_default_settings(origins)[0]) as recording,
    ):
        from pipelines.spark.session import get_session
        from pipelines.stages.featurize import stage as featurize
        from pipelines.stages.sweep.stage import init_sweep, run

        spark = get_session(_with_lightgbm_jars(settings, plan.choices("train.classifier", None)), verbose=verbose)
        recording.attach_session(spark)
        settings = apply_dataset(origins, spark, settings)
        for backbone in backbones if part.is_all else []:  # features of each are computed once, and kept
            one = resolve_secrets(build_settings(_override(origins, "featurize.backbone", backbone)))
            print_result(featurize.run(spark, one), recording)
        name = Path(file).stem
        done = (
            init_sweep(spark, settings, plan, name) if only_begin else run(spark, settings, plan, name, origins, part)
        )
        print_result(done, recording)


def _override(origins: dict[str, SourcedValue], key: str, value: object) -> dict[str, SourcedValue]:
    return {**origins, key: SourcedValue(value, "the sweep")}


def _with_lightgbm_jars(settings: Settings, learners: list[str]) -> Settings:
    """Give the settings of a session that has what any of the learners needs."""
    if "lightgbm" not in learners:
        return settings
    return settings.model_copy(update={"train": settings.train.model_copy(update={"classifier": "lightgbm"})})
