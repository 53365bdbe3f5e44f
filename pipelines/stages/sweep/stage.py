"""Sweep: many settings of a training tried side by side, on the same folds, every trial a nested MLflow run.

Test images have no part in it: what a sweep finds best is then trained, and measured on them, by `irbis train`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyspark.sql import SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.estimators import import_lightgbm
from pipelines.config.loader import SourcedValue
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.evaluation.results import align_columns
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.stages.sweep.plan import ALL, Shard, SweepPlan
from pipelines.stages.sweep.trial import SweepContext, final_params, run_trial, study_of
from pipelines.stages.train.training_data import require_sound_labels, training_fingerprint, training_rows
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.sweep_runs import FAILED, FINISHED, SweepRun, Trial
from pipelines.workspace.tables import Tables


def run(
    spark: SparkSession,
    settings: Settings,
    plan: SweepPlan,
    name: str,
    origins: Mapping[str, SourcedValue],
    share: Shard = ALL,
) -> StageResult:
    """Try what the plan says, but for the trials that an earlier run has finished; the note is the table of all.

    One that tries a share alone leaves the table to the run of all that comes after it.
    """
    clock, tables = Stopwatch(), Tables.of(spark, settings)
    trials = _trials(tables, settings, plan, name, share)
    before = trials.list_trials()
    done = {each.number for each in before}
    waiting = deque(number for number in plan.numbers(share) if number not in done)
    lacking = len(waiting)
    sweep = SweepContext(plan, origins, tables, trials, study_of(plan, before, share), waiting, done, share)
    try:
        read = _try_all(sweep, lacking)
    except BaseException:
        if share.is_all:
            trials.interrupt()
        raise
    finally:
        sweep.release()
    found = trials.list_trials()
    own = [each for each in found if each.number in plan.numbers(share)]
    failed = sum(trial.state == FAILED for trial in own)
    failures = {FAILED: failed} if failed else {}
    if not share.is_all:
        outcome = f"{name}: share {share.part} of {share.parts}, {len(own)} of {plan.n_trials} trials"
        return StageResult("sweep", read, lacking, failures, clock.seconds, outcome=outcome)
    best = best_trial(found, plan)
    table = as_text(found, plan)
    trials.close(best, table)
    outcome = _outcome(name, best, plan)
    return StageResult("sweep", read, lacking, failures, clock.seconds, (f"\n{table}",), outcome)


def init_sweep(spark: SparkSession, settings: Settings, plan: SweepPlan, name: str) -> StageResult:
    """Open the run that the trials are nested in, for processes that then try a share each."""
    clock = Stopwatch()
    done = len(_trials(Tables.of(spark, settings), settings, plan, name, ALL).list_trials())
    return StageResult("sweep", 0, 0, {}, clock.seconds, outcome=f"{name}: {done} of {plan.n_trials} trials are done")


def _trials(tables: Tables, settings: Settings, plan: SweepPlan, name: str, share: Shard) -> SweepRun:
    """Give the sweep's trials; one that is not begun yet begins, unless only a share is wanted: which should do it?"""
    if settings.train.cv_folds < 2:
        raise DataError("train.cv_folds = 0: a sweep needs cross-validation. Set train.cv_folds to 2 or more.")
    if "lightgbm" in plan.choices("train.classifier", settings.train.classifier):
        import_lightgbm()
    tracking = Tracking.of(settings)
    tables.require("features")
    images = training_rows(tables, settings, feature_id(settings))
    require_sound_labels(tables, images, settings)
    fingerprint = plan.digest(name, training_fingerprint(images, settings, ""))
    if share.is_all:
        tracking.mark_stale_runs_killed()
        space = json.dumps(plan.model_dump(mode="json")["space"])
        about = {"method": plan.method, "metric": plan.metric, "space": space}
        return SweepRun.find_or_create(tracking, name, fingerprint, about)
    if found := SweepRun.find(tracking, fingerprint):
        return found
    raise DataError(f"Sweep {name} has not been initialised for this data. Run `irbis sweep FILE --init`.")


def _try_all(sweep: SweepContext, lacking: int) -> int:
    """Run so many trials, `parallel` at a time; give the images that one of them is judged on."""
    with ThreadPoolExecutor(sweep.plan.parallel) as pool:
        running = [pool.submit(run_trial, sweep) for _ in range(lacking)]
        try:
            return max((each.result() for each in running), default=0)
        finally:  # whatever ends one for another reason than its parameters ends them all
            pool.shutdown(wait=False, cancel_futures=True)


def best_trial(trials: list[Trial], plan: SweepPlan) -> Trial | None:
    """Give the first of the best of the trials that were judged on all folds."""
    whole = [trial for trial in trials if trial.state == FINISHED and trial.value is not None]
    sign = 1 if plan.direction == "minimize" else -1
    return min(whole, key=lambda trial: sign * (trial.value or 0.0), default=None)


def as_text(trials: list[Trial], plan: SweepPlan) -> str:
    """Give a table of the trials, the best first, then those stopped early, then those that failed."""
    sign = 1 if plan.direction == "minimize" else -1
    order = sorted(trials, key=lambda each: (each.state != FINISHED, each.value is None, sign * (each.value or 0.0)))
    rows = [["trial", plan.metric, "95 %", "seconds", *plan.space, ""]]
    rows += [[*_figures(each), *(_written(each.parameters[key]) for key in plan.space), _end(each)] for each in order]
    return "\n".join(align_columns(rows))


def _figures(trial: Trial) -> list[str]:
    value = "-" if trial.value is None else f"{trial.value:.3f}"
    bounds = "-" if trial.low is None or trial.high is None else f"{trial.low:.3f} to {trial.high:.3f}"
    return [str(trial.number), value, bounds, f"{trial.seconds:.0f}"]


def _end(trial: Trial) -> str:
    if trial.state == FINISHED:
        return ""
    return f"failed: {trial.reason}" if trial.state == FAILED else "stopped after one fold"


def _outcome(name: str, best: Trial | None, plan: SweepPlan) -> str:
    if best is None:
        return f"{name}: no trial succeeded"
    chosen = final_params(best)
    said = " ".join(f"--set {key}={_written(value)}" for key, value in chosen.items())
    return f"{name}: {plan.metric} {best.value:.3f} with: irbis train {said}"


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
