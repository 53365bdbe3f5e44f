"""Sweep: hyperparameter search on fixed folds, each trial a nested MLflow run.

Test images are not used: `irbis train` with the best settings fits the model and evaluates it on them.
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
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import SourcedValue
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.evaluation.results import align_columns
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.stages.sweep.plan import ALL_TRIALS, Shard, SweepPlan
from pipelines.stages.sweep.trial import SweepContext, create_study, final_params, run_trial
from pipelines.stages.train.training_data import require_consistent_labels, training_fingerprint, training_rows
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.sweep_runs import FAILED, FINISHED, SweepRun, Trial
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables


def run(
    spark: SparkSession,
    settings: Settings,
    plan: SweepPlan,
    name: str,
    origins: Mapping[str, SourcedValue],
    shard: Shard = ALL_TRIALS,
) -> StageResult:
    """Run the trials of the plan that no earlier run has finished; the note is a table of all trials.

    A run of one shard writes no table: the run without a shard that follows does.
    """
    clock, tables = Stopwatch(), Tables.of(spark, settings)
    trials = _open_sweep(tables, settings, plan, name, shard)
    finished = trials.list_trials()
    done = {trial.number for trial in finished}
    waiting = deque(number for number in plan.trial_numbers(shard) if number not in done)
    missing = len(waiting)
    sweep = SweepContext(plan, origins, tables, trials, create_study(plan, finished, shard), waiting, done, shard)
    try:
        read = _run_trials(sweep, missing)
    except BaseException:
        if shard.is_all:
            trials.interrupt()
        raise
    finally:
        sweep.release()
    finished = trials.list_trials()
    own = [trial for trial in finished if trial.number in plan.trial_numbers(shard)]
    failed = sum(trial.state == FAILED for trial in own)
    failures = {FAILED: failed} if failed else {}
    notes = tuple(journal_notes(tables.workspace))
    if not shard.is_all:
        outcome = f"{name}: shard {shard.index} of {shard.count}, {len(own)} of {plan.n_trials} trials"
        return StageResult("sweep", read, missing, failures, clock.seconds, notes, outcome)
    best = best_trial(finished, plan)
    table = format_trials(finished, plan)
    trials.close(best, table)
    outcome = _outcome(name, best, plan)
    return StageResult("sweep", read, missing, failures, clock.seconds, (*notes, f"\n{table}"), outcome)


def init_sweep(spark: SparkSession, settings: Settings, plan: SweepPlan, name: str) -> StageResult:
    """Create the parent run of the trials, for processes that then run a shard each."""
    clock = Stopwatch()
    done = len(_open_sweep(Tables.of(spark, settings), settings, plan, name, ALL_TRIALS).list_trials())
    return StageResult("sweep", 0, 0, {}, clock.seconds, outcome=f"{name}: {done} of {plan.n_trials} trials are done")


def _open_sweep(tables: Tables, settings: Settings, plan: SweepPlan, name: str, shard: Shard) -> SweepRun:
    """Return the sweep's run, created if there is none; a single shard does not create it, or each of them would."""
    if settings.train.cv_folds < 2:
        raise DataError("train.cv_folds = 0: a sweep needs cross-validation. Set train.cv_folds to 2 or more.")
    if "lightgbm" in plan.choices("train.classifier", settings.train.classifier):
        import_lightgbm()
    tracking = Tracking.of(settings)
    tables.require("features")
    if shard.is_all:
        merge_journals(tables)
    images = TrainingSet.collect(training_rows(tables, settings, feature_id(settings)))
    require_consistent_labels(tables, images, settings)
    fingerprint = plan.digest(name, training_fingerprint(images, settings, ""))
    if shard.is_all:
        tracking.mark_stale_runs_killed()
        space = json.dumps(plan.model_dump(mode="json")["space"])
        params = {"method": plan.method, "metric": plan.metric, "space": space}
        return SweepRun.find_or_create(tracking, name, fingerprint, params)
    if existing := SweepRun.find(tracking, fingerprint):
        return existing
    raise DataError(f"Sweep {name} has not been initialised for this data. Run `irbis sweep FILE --init` once.")


def _run_trials(sweep: SweepContext, count: int) -> int:
    """Run `count` trials, `parallel` at a time; return the number of images that a trial is evaluated on."""
    with ThreadPoolExecutor(sweep.plan.parallel) as pool:
        running = [pool.submit(run_trial, sweep) for _ in range(count)]
        try:
            return max((future.result() for future in running), default=0)
        finally:  # an error that is not due to the parameters of one trial ends all of them
            pool.shutdown(wait=False, cancel_futures=True)


def best_trial(trials: list[Trial], plan: SweepPlan) -> Trial | None:
    """Return the best of the trials that were evaluated on all folds, the first of equals."""
    complete = [trial for trial in trials if trial.state == FINISHED and trial.value is not None]
    sign = 1 if plan.direction == "minimize" else -1
    return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)


def format_trials(trials: list[Trial], plan: SweepPlan) -> str:
    """Return a table of the trials: the best first, then the pruned ones, then the failed ones."""
    sign = 1 if plan.direction == "minimize" else -1
    order = sorted(
        trials, key=lambda trial: (trial.state != FINISHED, trial.value is None, sign * (trial.value or 0.0))
    )
    rows = [["trial", plan.metric, "95 %", "seconds", *plan.space, ""]]
    rows += [
        [*_format_metric(each), *(_format_value(each.parameters[key]) for key in plan.space), _format_state(each)]
        for each in order
    ]
    return "\n".join(align_columns(rows))


def _format_metric(trial: Trial) -> list[str]:
    value = "-" if trial.value is None else f"{trial.value:.3f}"
    bounds = "-" if trial.low is None or trial.high is None else f"{trial.low:.3f} to {trial.high:.3f}"
    return [str(trial.number), value, bounds, f"{trial.seconds:.0f}"]


def _format_state(trial: Trial) -> str:
    if trial.state == FINISHED:
        return ""
    return f"failed: {trial.reason}" if trial.state == FAILED else "pruned after one fold"


def _outcome(name: str, best: Trial | None, plan: SweepPlan) -> str:
    if best is None:
        return f"{name}: no trial succeeded"
    options = " ".join(f"--set {key}={_format_value(value)}" for key, value in final_params(best).items())
    return f"{name}: {plan.metric} {best.value:.3f} with: irbis train {options}"


def _format_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
