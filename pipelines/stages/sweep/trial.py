"""One trial of a sweep: parameters asked of the sampler, judged by cross-validation, written down."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame
from pyspark.sql.utils import IllegalArgumentException

from pipelines.backbones import feature_id
from pipelines.classifiers.cross_validation import fit_with_validation
from pipelines.classifiers.predict import predict_labelled
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.settings import Settings
from pipelines.errors import DataError, PlatformError
from pipelines.evaluation.folds import assign_folds, in_fold
from pipelines.evaluation.predictions import choose_views
from pipelines.evaluation.results import Evaluation
from pipelines.spark.session import is_running
from pipelines.stages.result import Stopwatch
from pipelines.stages.sweep.plan import ALL, Shard, SweepPlan
from pipelines.stages.train.training_data import fit_cross_validated, select_rows, training_rows
from pipelines.tracking.sweep_runs import FAILED, FINISHED, PRUNED, SweepRun, Trial
from pipelines.workspace.tables import Tables

PRUNE_PERCENTILE = 75.0  # percent of the trials: one that is poorer on the first fold is stopped there
N_STARTUP_TRIALS = 5  # trials that are never stopped early: what should they be held against?


@dataclass
class SweepContext:
    """Hold what all trials share. What is learned from is read once for each backbone, and kept."""

    plan: SweepPlan
    origins: Mapping[str, SourcedValue]
    tables: Tables
    trials: SweepRun
    study: Any
    waiting: deque[int]  # numbers of trials
    told: set[int]  # numbers of trials that the study knows
    share: Shard = ALL
    kept: dict[tuple[str, bool], DataFrame] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settings(self, parameters: Mapping[str, Any]) -> Settings:
        """Give the settings with those of one trial."""
        return build_settings(
            {**self.origins, **{key: SourcedValue(value, "the sweep") for key, value in parameters.items()}}
        )

    def rows(self, settings: Settings) -> DataFrame:
        """Give the images of train and validation, with folds that are the same for every trial."""
        identity, train = feature_id(settings), settings.train
        key = identity, settings.featurize.horizontal_flip
        with self.lock:
            if key not in self.kept:
                rows = select_rows(training_rows(self.tables, settings, identity), train).rows.where("split != 'test'")
                self.kept[key] = assign_folds(rows, train.cv_folds, train.split_salt).cache()
            return self.kept[key]

    def release(self) -> None:
        for rows in self.kept.values():
            rows.unpersist()

    def ask(self) -> tuple[int, Any]:
        """Give the next trial's number and the parameters that the sampler chooses, knowing what others have found."""
        with self.lock:
            if not self.share.is_all:
                news = [each for each in self.trials.list_trials() if each.number not in self.told]
                tell(self.study, self.plan, news)
                self.told.update(each.number for each in news)
            number = self.waiting.popleft()
            self.told.add(number)
            if self.plan.method == "grid":
                self.study.enqueue_trial(next(itertools.islice(self.plan.combinations(), number, None)))
            return number, self.study.ask(distributions(self.plan))


def study_of(plan: SweepPlan, before: Sequence[Trial], share: Shard) -> Any:
    """Give Optuna's study with the trials there are."""
    optuna = _optuna()
    # Begun anew, or beside another, the same seed would draw the same trials again.
    seed = plan.seed + len(before) * share.parts + share.part - 1
    is_beside = plan.parallel > 1 or not share.is_all
    sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_STARTUP_TRIALS, constant_liar=is_beside)
        if plan.method == "tpe"
        else optuna.samplers.RandomSampler(seed=seed)
    )
    pruner = optuna.pruners.PercentilePruner(PRUNE_PERCENTILE, n_startup_trials=N_STARTUP_TRIALS)
    study = optuna.create_study(direction=plan.direction, sampler=sampler, pruner=pruner)
    tell(study, plan, before)
    return study


def tell(study: Any, plan: SweepPlan, trials: Sequence[Trial]) -> None:
    """Let the study know of trials that came to their end elsewhere, or earlier."""
    optuna = _optuna()
    states = {name: getattr(optuna.trial.TrialState, of) for name, of in _STATES.items()}
    for each in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[each.state],
                params=dict(each.parameters),
                distributions=distributions(plan),
                value=None if each.state == FAILED else each.value,
                intermediate_values={} if each.first_fold_value is None else {0: each.first_fold_value},
            )
        )


_STATES = {FINISHED: "COMPLETE", PRUNED: "PRUNED", FAILED: "FAIL"}


def distributions(plan: SweepPlan) -> dict[str, Any]:
    """Give the space as Optuna's distributions."""
    known = _optuna().distributions
    found: dict[str, Any] = {}
    for key, values in plan.space.items():
        if isinstance(values, list):
            found[key] = known.CategoricalDistribution(values)
        elif values.integer:
            found[key] = known.IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            found[key] = known.FloatDistribution(values.low, values.high, log=values.log)
    return found


def run_trial(sweep: SweepContext) -> int:
    """Run one trial, write it down, and tell the sampler; give how many images it was judged on."""
    plan, clock = sweep.plan, Stopwatch()
    number, asked = sweep.ask()
    run_id = sweep.trials.start_trial(number)
    judged = TrialOutcome()
    try:
        judged = _judged(sweep, asked)
    except (Py4JJavaError, IllegalArgumentException, ValueError) as error:
        if not is_running(sweep.tables.spark):
            raise
        # What a learner refuses is a finding about these parameters: written down, and the other trials go on.
        judged = TrialOutcome(FAILED, reason=" ".join(str(error).split())[:300])
    found = judged.evaluation.metrics[plan.metric] if judged.evaluation else None
    value = found.value if found else judged.first
    trial = Trial(
        number=number,
        parameters=dict(asked.params),
        state=judged.state,
        value=value,
        low=found.low if found else None,
        high=found.high if found else None,
        first_fold_value=judged.first,
        seconds=round(clock.seconds, 1),
        selected_params=judged.chosen,
        reason=judged.reason,
    )
    figures = {name: each.value for name, each in judged.evaluation.metrics.items()} if judged.evaluation else {}
    sweep.trials.log_trial(run_id, trial, figures)
    with sweep.lock:
        states = _optuna().trial.TrialState
        state = getattr(states, _STATES[trial.state])
        sweep.study.tell(asked, None if trial.state != FINISHED else value, state=state)
    return judged.evaluation.rows if judged.evaluation else 0


@dataclass(frozen=True)
class TrialOutcome:
    """Hold how a trial ended: the metric on the first fold, the figures on all, and the parameters that won."""

    state: str = FINISHED
    first: float | None = None
    evaluation: Evaluation | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def _judged(sweep: SweepContext, asked: Any) -> TrialOutcome:
    settings = sweep.settings(asked.params)
    rows, train = sweep.rows(settings), settings.train
    classes = sorted(row["label"] for row in rows.select("label").distinct().collect())
    first = _first_fold(rows, classes, settings, sweep.plan.metric) if sweep.plan.prune else None
    if first is not None:
        with sweep.lock:
            asked.report(first, 0)
            if asked.should_prune():
                return TrialOutcome(PRUNED, first)
    fitted, said = fit_cross_validated(rows, classes, train, train.cv_folds)
    if said is None:
        raise DataError(
            "No class has groups (encounters) in two folds of train and validation, so no trial can be judged. "
            "Label more encounters of each class."
        )
    return TrialOutcome(FINISHED, first, choose_views(said)[2].evaluate(train.bootstrap_resamples), fitted.parameters)


def _first_fold(rows: DataFrame, classes: list[str], settings: Settings, metric: str) -> float | None:
    """Give the metric on one fold alone: a fifth of the work tells what is hopeless."""
    others, held = rows.where(~in_fold(0)), rows.where(in_fold(0))
    said = predict_labelled(fit_with_validation(others, held, classes, settings.train).model, held, classes)
    return said.average_views(False).evaluate(bootstrap=0).metrics[metric].value if said else None


def final_params(trial: Trial) -> dict[str, Any]:
    """Give the parameters of a trial with those that cross-validation chose within it."""
    chosen = {"train.reg_params": trial.selected_params["reg_param"]} if "reg_param" in trial.selected_params else {}
    return {**chosen, **trial.parameters}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise PlatformError("Sweeps are planned by Optuna, which is not installed. pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
