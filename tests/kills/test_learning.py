"""SIGKILL at random moments of a training, a sweep and a run of all stages: the champion predicts the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.config.loader import load_settings
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.sweep_runs import PARENT

from .killing import Killer, copy_of, options, orphans, run_apart, run_here
from .stage_kills import ALL, Work, kill_and_compare

pytestmark = pytest.mark.kills

WORK = {
    "train": Work(("train",), "featurize", 20, ALL, ("score",)),
    "run": Work(("run",), "nothing", 10, ALL),
}
SWEEPS = 10
PLAN = """
method: grid
prune: false
space: {train.reg_params: [0.01, 0.1, 1.0], train.class_weights: [balanced, none]}
"""


@pytest.mark.parametrize("name", WORK)
def test_killed_and_run_to_the_end_the_champion_predicts_the_same(spark, survey, stages, tmp_path, name):
    kill_and_compare(spark, survey, stages, tmp_path, name, WORK[name])


def trials(workspace: Path) -> dict[tuple[str, str], list[float]]:
    """Return the results of a sweep's trials by what they tried, rounded as nothing here is exact to the bit."""
    settings = load_settings(None, {"workspace": str(workspace)})
    client = Tracking.of(settings).client
    experiments = [each.experiment_id for each in client.search_experiments()]
    found: dict[tuple[str, str], list[float]] = {}
    for run in client.search_runs(experiments):
        if PARENT in run.data.tags and run.info.status == "FINISHED":
            key = run.data.params["train.reg_params"], run.data.params["train.class_weights"]
            found.setdefault(key, []).append(round(run.data.metrics["balanced_accuracy"], 6))
    return found


def test_a_sweep_that_is_killed_tries_everything_once(spark, survey, stages, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    undisturbed = copy_of(stages["featurize"], tmp_path / "undisturbed")
    killer = Killer("sweep", run_apart("sweep", str(plan), *options(survey, undisturbed), folder=tmp_path))
    expected = trials(undisturbed)
    assert len(expected) == 6 and all(len(results) == 1 for results in expected.values())

    def attempt(number: int, kills: int) -> None:
        workspace = copy_of(stages["featurize"], tmp_path / f"killed {number}")
        words = ["sweep", str(plan), *options(survey, workspace)]
        for _ in range(kills):
            if not killer.kill(*words, folder=tmp_path):
                break
        run_here(*words)
        assert trials(workspace) == expected
        run_here("clean", *options(survey, workspace))
        assert orphans(spark, workspace) == []
        shutil.rmtree(workspace)

    killer.rounds(SWEEPS, attempt)
