"""One trial of a sweep: parameters from the sampler, evaluated by cross-validation and logged to MLflow."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql.utils import IllegalArgumentException

from pipelines.backbones import feature_id
from pipelines.classifiers.solvers import choose_solver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.errors import DataError, PlatformError
from pipelines.evaluation.predictions import choose_views
from pipelines.evaluation.results import Evaluation
from pipelines.spark.session import is_running
from pipelines.stages.result import Stopwatch
from pipelines.stages.sweep.plan import ALL_TRIALS, Shard, SweepPlan
from pipelines.stages.train.fit import fit_cross_validated
from pipelines.stages.train.training_data import select_rows, training_rows
from pipelines.tracking.sweep_runs import FAILED, FINISHED, PRUNED, SweepRun, Trial
from pipelines.workspace.tables import Tables

PRUNE_PERCENTILE = 75.0  # a trial whose first fold is worse than this percentile is pruned
N_STARTUP_TRIALS = 5  # never pruned: there is too little to compare with


@dataclass
class SweepContext:
    """The state that all trials share. Training rows are read once for each backbone."""

    plan: SweepPlan
    origins: Mapping[str, SourcedValue]
    tables: Tables
    trials: SweepRun
    study: Any
    waiting: deque[int]  # trial numbers to run
    reported: set[int]  # trial numbers that the study knows
    shard: Shard = ALL_TRIALS
    training_sets: dict[tuple[str, bool], TrainingSet] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settings(self, parameters: Mapping[str, Any]) -> Settings:
        """Return the settings with the parameters of one trial."""
        return build_settings(
            {**self.origins, **{key: SourcedValue(value, "the sweep") for key, value in parameters.items()}}
        )

    def rows(self, settings: Settings) -> TrainingSet:
        """Return the rows of train and validation, with folds that are the same for every trial."""
        identity, train = feature_id(settings), settings.train
        key = identity, settings.featurize.horizontal_flip
        with self.lock:
            if key not in self.training_sets:
                every = TrainingSet.collect(training_rows(self.tables, settings, identity))
                rows = select_rows(every, train).rows.in_split("train", "validation")
                self.training_sets[key] = rows.with_folds(train.cv_folds, train.split_salt)
            return self.training_sets[key]

    def release(self) -> None:
        for rows in self.training_sets.values():
            rows.store.release()

    def ask(self) -> tuple[int, Any]:
        """Return the next trial's number and the sampler's suggestion, which uses the trials of other shards too."""
        with self.lock:
            if not self.shard.is_all:
                new = [trial for trial in self.trials.list_trials() if trial.number not in self.reported]
                add_trials(self.study, self.plan, new)
                self.reported.update(trial.number for trial in new)
            number = self.waiting.popleft()
            self.reported.add(number)
            if self.plan.method == "grid":
                self.study.enqueue_trial(next(itertools.islice(self.plan.combinations(), number, None)))
            return number, self.study.ask(distributions(self.plan))


def create_study(plan: SweepPlan, finished: Sequence[Trial], shard: Shard) -> Any:
    """Return an Optuna study with the finished trials."""
    optuna = _import_optuna()
    # With the same seed a resumed sweep, or another shard, would draw the same trials again.
    seed = plan.seed + len(finished) * shard.count + shard.index - 1
    is_parallel = plan.parallel > 1 or not shard.is_all
    sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_STARTUP_TRIALS, constant_liar=is_parallel)
        if plan.method == "tpe"
        else optuna.samplers.RandomSampler(seed=seed)
    )
    pruner = optuna.pruners.PercentilePruner(PRUNE_PERCENTILE, n_startup_trials=N_STARTUP_TRIALS)
    study = optuna.create_study(direction=plan.direction, sampler=sampler, pruner=pruner)
    add_trials(study, plan, finished)
    return study


def add_trials(study: Any, plan: SweepPlan, trials: Sequence[Trial]) -> None:
    """Add finished trials, of other shards or of an earlier run, to the study."""
    optuna = _import_optuna()
    states = {name: getattr(optuna.trial.TrialState, state) for name, state in _STATES.items()}
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state],
                params=dict(trial.parameters),
                distributions=distributions(plan),
                value=None if trial.state == FAILED else trial.value,
                intermediate_values={} if trial.first_fold_value is None else {0: trial.first_fold_value},
            )
        )


_STATES = {FINISHED: "COMPLETE", PRUNED: "PRUNED", FAILED: "FAIL"}


def distributions(plan: SweepPlan) -> dict[str, Any]:
    """Return the search space as Optuna distributions."""
    optuna_distributions = _import_optuna().distributions
    space: dict[str, Any] = {}
    for key, values in plan.space.items():
        if isinstance(values, list):
            space[key] = optuna_distributions.CategoricalDistribution(values)
        elif values.integer:
            space[key] = optuna_distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            space[key] = optuna_distributions.FloatDistribution(values.low, values.high, log=values.log)
    return space


def run_trial(sweep: SweepContext) -> int:
    """Run one trial, log it, and report it to the sampler; return the number of images it was evaluated on."""
    plan, clock = sweep.plan, Stopwatch()
    number, suggestion = sweep.ask()
    run_id = sweep.trials.start_trial(number)
    outcome = TrialOutcome()
    try:
        outcome = _evaluate_trial(sweep, suggestion)
    except (Py4JJavaError, IllegalArgumentException, ValueError) as error:
        if not is_running(sweep.tables.spark):
            raise
        # An estimator that rejects its parameters fails this trial; the others go on.
        outcome = TrialOutcome(FAILED, reason=" ".join(str(error).split())[:300])
    metric = outcome.evaluation.metrics[plan.metric] if outcome.evaluation else None
    value = metric.value if metric else outcome.first_fold_value
    trial = Trial(
        number=number,
        parameters=dict(suggestion.params),
        state=outcome.state,
        value=value,
        low=metric.low if metric else None,
        high=metric.high if metric else None,
        first_fold_value=outcome.first_fold_value,
        seconds=round(clock.seconds, 1),
        selected_params=outcome.selected_params,
        reason=outcome.reason,
    )
    evaluation = outcome.evaluation
    metrics = {name: interval.value for name, interval in evaluation.metrics.items()} if evaluation else {}
    sweep.trials.log_trial(run_id, trial, metrics)
    with sweep.lock:
        states = _import_optuna().trial.TrialState
        state = getattr(states, _STATES[trial.state])
        sweep.study.tell(suggestion, None if trial.state != FINISHED else value, state=state)
    return evaluation.rows if evaluation else 0


@dataclass(frozen=True)
class TrialOutcome:
    """The end of a trial: state, metric on the first fold, evaluation on all folds, and selected parameters."""

    state: str = FINISHED
    first_fold_value: float | None = None
    evaluation: Evaluation | None = None
    selected_params: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def _evaluate_trial(sweep: SweepContext, suggestion: Any) -> TrialOutcome:
    settings = sweep.settings(suggestion.params)
    rows, train = sweep.rows(settings), settings.train
    classes = rows.classes
    first = _evaluate_first_fold(rows, classes, settings, sweep.plan.metric) if sweep.plan.prune else None
    if first is not None:
        with sweep.lock:
            suggestion.report(first, 0)
            if suggestion.should_prune():
                return TrialOutcome(PRUNED, first)
    fitted = fit_cross_validated(rows, classes, train, train.cv_folds)
    if fitted.predictions is None:
        raise DataError(
            "No class has groups (encounters) in two folds of train and validation, so no trial can be evaluated. "
            "Label more encounters of each class."
        )
    evaluation = choose_views(fitted.predictions)[2].evaluate(train.bootstrap_resamples)
    return TrialOutcome(FINISHED, first, evaluation, fitted.parameters)


def _evaluate_first_fold(rows: TrainingSet, classes: list[str], settings: Settings, metric: str) -> float | None:
    """Return the metric on one fold: a fifth of the work shows which trials are hopeless."""
    is_held_out = rows.folds == 0
    solver = choose_solver(rows, settings.train)
    fitted = solver.fit_with_validation(rows.where(~is_held_out), rows.where(is_held_out), classes, settings.train)
    predictions = fitted.predictions
    return predictions.average_views(False).evaluate(bootstrap=0).metrics[metric].value if predictions else None


def final_params(trial: Trial) -> dict[str, Any]:
    """Return the parameters of a trial with those that its cross-validation selected."""
    selected = trial.selected_params
    return {**({"train.reg_params": selected["reg_param"]} if "reg_param" in selected else {}), **trial.parameters}


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise PlatformError("A sweep needs Optuna, which is not installed. pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
