"""The trials of a sweep in MLflow: nested runs of one parent run, from which an interrupted sweep resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Run

from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import TAG_PREFIX, Tracking

PARENT = "mlflow.parentRunId"
FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"


@dataclass(frozen=True)
class Trial:
    """One trial: its number, hyperparameters, state, and the metric with its confidence interval.

    `first_fold_value` is the metric on the first fold, which is also the `value` of a pruned trial; a failed trial has
    None. `selected_params` are those selected by cross-validation within the trial.
    """

    number: int
    parameters: Mapping[str, Any]
    state: str
    value: float | None
    low: float | None = None
    high: float | None = None
    first_fold_value: float | None = None
    seconds: float = 0.0
    selected_params: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class SweepRun:
    """Trials of one sweep; `parent` is the id of the run they are nested in."""

    tracking: Tracking
    parent: str

    @classmethod
    def find(cls, tracking: Tracking, fingerprint: str) -> SweepRun | None:
        """Return the sweep with this fingerprint; None if it has not been started."""
        runs = tracking.client.search_runs(
            [tracking.experiment_id], f"tags.`{TAG_PREFIX}sweep_fingerprint` = '{fingerprint}'"
        )
        return cls(tracking, runs[0].info.run_id) if runs else None

    @classmethod
    def find_or_create(cls, tracking: Tracking, name: str, fingerprint: str, params: Mapping[str, str]) -> SweepRun:
        """Return the sweep with this fingerprint, created if needed, with its run in the state RUNNING."""
        if sweep := cls.find(tracking, fingerprint):
            tracking.client.update_run(sweep.parent, status="RUNNING")
            sweep._end_completed()
            return sweep
        client, experiment = tracking.client, tracking.experiment_id
        tags = {f"{TAG_PREFIX}sweep": name, f"{TAG_PREFIX}sweep_fingerprint": fingerprint, **_code_tags()}
        run = client.create_run(experiment, tags=tags, run_name=f"sweep {name}")
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        return cls(tracking, run.info.run_id)

    def list_trials(self) -> list[Trial]:
        """Return the completed trials, ordered by number; interrupted ones are left out."""
        return sorted((trial for _, trial in self._completed()), key=lambda trial: trial.number)

    def _end_completed(self) -> None:
        """End the runs of completed trials where a sweep was killed just before it did so."""
        for run, trial in self._completed():
            if run.info.status != _status(trial):
                self.tracking.client.set_terminated(run.info.run_id, _status(trial))

    def _completed(self) -> Iterator[tuple[Run, Trial]]:
        token = None
        while True:
            page = self.tracking.client.search_runs(
                [self.tracking.experiment_id], f"tags.`{PARENT}` = '{self.parent}'", page_token=token
            )
            for run in page:
                if text := run.data.tags.get(f"{TAG_PREFIX}trial"):
                    yield run, Trial(**json.loads(text))
            token = page.token
            if not token:
                return

    def start_trial(self, number: int) -> str:
        """Start the nested run of a trial and return its id."""
        tags = {PARENT: self.parent, **_code_tags()}
        run = self.tracking.client.create_run(self.tracking.experiment_id, tags=tags, run_name=f"trial {number}")
        return str(run.info.run_id)

    def log_trial(self, run_id: str, trial: Trial, metrics: Mapping[str, float | None]) -> None:
        """Log a trial and end its run; the tag comes last, so a run that has it is complete."""
        client = self.tracking.client
        for key, value in trial.parameters.items():
            client.log_param(run_id, key, value)
        for key, value in metrics.items():
            if value is not None:
                client.log_metric(run_id, key, value)
        client.set_tag(run_id, f"{TAG_PREFIX}trial", json.dumps(trial.__dict__))
        client.set_terminated(run_id, _status(trial))

    def interrupt(self) -> None:
        """End the parent run as KILLED before all trials are done; the next sweep resumes it."""
        self.tracking.client.set_terminated(self.parent, "KILLED")

    def close(self, best: Trial | None, table: str) -> None:
        """End the parent run with the table of its trials and the metric of the best."""
        if best and best.value is not None:
            self.tracking.client.log_metric(self.parent, "best", best.value)
        self.tracking.client.log_text(self.parent, table, "trials.txt")
        self.tracking.client.set_terminated(self.parent, "FINISHED")


def _status(trial: Trial) -> str:
    return "FAILED" if trial.state == FAILED else "FINISHED"


def _code_tags() -> dict[str, str]:
    return {TAG_PREFIX + key: value for key, value in code_version().items()}
