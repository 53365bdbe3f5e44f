"""The trials of a sweep as MLflow keeps them: nested runs of one parent, from which an interrupted sweep goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import TAG_PREFIX, Tracking

PARENT = "mlflow.parentRunId"
FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"


@dataclass(frozen=True)
class Trial:
    """Hold one trial: its number, what was tried, how it ended, and the metric with its interval.

    `first` is the metric on the first fold alone, which is the `value` of a pruned trial too; that of a failed one is
    None. `chosen`: what cross-validation chose within the trial.
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
    """Give the trials of one sweep; `parent` is the run they are nested in."""

    tracking: Tracking
    parent: str

    @classmethod
    def find(cls, tracking: Tracking, fingerprint: str) -> SweepRun | None:
        """Give the sweep with this fingerprint if it was begun before."""
        found = tracking.client.search_runs(
            [tracking.experiment_id], f"tags.`{TAG_PREFIX}sweep_fingerprint` = '{fingerprint}'"
        )
        return cls(tracking, found[0].info.run_id) if found else None

    @classmethod
    def find_or_create(cls, tracking: Tracking, name: str, fingerprint: str, note: Mapping[str, str]) -> SweepRun:
        """Give the sweep with this fingerprint, begun before or now, as a run that goes on."""
        if known := cls.find(tracking, fingerprint):
            tracking.client.update_run(known.parent, status="RUNNING")
            return known
        client, experiment = tracking.client, tracking.experiment_id
        tags = {f"{TAG_PREFIX}sweep": name, f"{TAG_PREFIX}sweep_fingerprint": fingerprint, **_code_tags()}
        run = client.create_run(experiment, tags=tags, run_name=f"sweep {name}")
        for key, value in note.items():
            client.log_param(run.info.run_id, key, value)
        return cls(tracking, run.info.run_id)

    def list_trials(self) -> list[Trial]:
        """Give the trials that came to an end, by their number; those that were cut off are left out."""
        client, found, token = self.tracking.client, [], None
        while True:
            page = client.search_runs(
                [self.tracking.experiment_id], f"tags.`{PARENT}` = '{self.parent}'", page_token=token
            )
            found += [Trial(**json.loads(text)) for run in page if (text := run.data.tags.get(f"{TAG_PREFIX}trial"))]
            token = page.token
            if not token:
                return sorted(found, key=lambda trial: trial.number)

    def start_trial(self, number: int) -> str:
        """Open the nested run of a trial and give its id."""
        tags = {PARENT: self.parent, **_code_tags()}
        run = self.tracking.client.create_run(self.tracking.experiment_id, tags=tags, run_name=f"trial {number}")
        return str(run.info.run_id)

    def log_trial(self, run_id: str, trial: Trial, figures: Mapping[str, float | None]) -> None:
        """Write a trial down; the tag comes last, so a run that has it is whole."""
        client = self.tracking.client
        for key, value in trial.parameters.items():
            client.log_param(run_id, key, value)
        for key, figure in figures.items():
            if figure is not None:
                client.log_metric(run_id, key, figure)
        client.set_tag(run_id, f"{TAG_PREFIX}trial", json.dumps(trial.__dict__))
        client.set_terminated(run_id, "FAILED" if trial.state == FAILED else "FINISHED")

    def interrupt(self) -> None:
        """End the parent run before all its trials are through; the next one goes on with it."""
        self.tracking.client.set_terminated(self.parent, "KILLED")

    def close(self, best: Trial | None, table: str) -> None:
        """End the parent run with the table of its trials and the figure of the best."""
        if best and best.value is not None:
            self.tracking.client.log_metric(self.parent, "best", best.value)
        self.tracking.client.log_text(self.parent, table, "trials.txt")
        self.tracking.client.set_terminated(self.parent, "FINISHED")


def _code_tags() -> dict[str, str]:
    return {TAG_PREFIX + key: value for key, value in code_version().items()}
