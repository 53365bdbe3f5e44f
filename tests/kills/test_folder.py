"""SIGKILL at random moments of every stage, a sweep and a watch: the tables are those of an undisturbed run."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.config import load_settings
from pipelines.platform.tracking import Tracking
from pipelines.platform.trials import PARENT

from ..same_tables import assert_same_tables
from .killing import Killer, copy_of, options, orphans, run_apart, run_here, running

pytestmark = pytest.mark.kills

PLAN = """
method: grid
prune: false
space: {train.reg_params: [0.01, 0.1, 1.0], train.class_weights: [balanced, none]}
"""


@dataclass(frozen=True)
class Work:
    """A command that is killed: from which workspace it begins, how often, and which tables it leaves."""

    words: tuple[str, ...]
    begins_from: str
    kills: int
    tables: tuple[str, ...]
    after: tuple[str, ...] = ()  # commands whose result shows what the killed one has made


WORK = {
    "ingest": Work(("ingest",), "nothing", 25, ("images",)),
    "featurize": Work(("featurize",), "ingest", 25, ("images", "features")),
    "train": Work(("train",), "featurize", 25, ("images", "features", "predictions"), ("score",)),
    "score": Work(("score",), "train", 20, ("images", "features", "predictions")),
    "report": Work(("report",), "score", 10, ("images", "features", "predictions")),
    "run": Work(("run",), "nothing", 25, ("images", "features", "predictions")),
}
SWEEPS, WATCHES = 15, 15


@pytest.mark.parametrize("name", WORK)
def test_killed_and_run_to_the_end_the_tables_are_those_of_an_undisturbed_run(spark, survey, stages, tmp_path, name):
    work = WORK[name]
    undisturbed = copy_of(stages[work.begins_from], tmp_path / "undisturbed")
    killer = Killer(name, run_apart(*work.words, *options(survey, undisturbed), folder=tmp_path))
    for stage in work.after:
        run_here(stage, *options(survey, undisturbed))

    def attempt(number: int, kills: int) -> None:
        workspace = copy_of(stages[work.begins_from], tmp_path / f"killed {number}")
        words = options(survey, workspace)
        for _ in range(kills):
            if not killer.kill(*work.words, *words, folder=tmp_path):
                break
        for stage in (*work.words, *work.after):
            run_here(stage, *words)
        assert_same_tables(spark, undisturbed, workspace, work.tables)
        if name in ("report", "run"):
            assert (workspace / "reports/report.html").read_text("utf-8").rstrip().endswith("-->")
        run_here("clean", *words)
        assert orphans(spark, workspace) == []
        assert_same_tables(spark, undisturbed, workspace, work.tables)
        shutil.rmtree(workspace)

    killer.rounds(work.kills, attempt)


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


def test_a_watch_that_is_killed_takes_every_image_once(spark, survey, stages, tmp_path):
    undisturbed = stages["ingest"]
    files = sorted(path for path in survey.rglob("*") if path.is_file())
    killer = Killer("watch", 0.0)

    def attempt(number: int, kills: int) -> None:
        arriving, workspace = tmp_path / f"arriving {number}", tmp_path / f"killed {number}"
        words = options(arriving, workspace)
        for share in range(kills):
            for file in files[share::kills]:
                target = arriving / file.relative_to(survey)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
            with running("ingest", "--watch", *words, "--set=ingest.watch_seconds=1", folder=tmp_path) as process:
                # It goes on without end: the moment is drawn from its start and what it does first.
                time.sleep(killer.chance.uniform(3, 14))
                assert process.poll() is None, f"the watch has ended with exit code {process.returncode}"
            killer.killed += 1
        run_here("ingest", *words)
        assert_same_tables(spark, undisturbed, workspace, ("images",), (f"file://{survey}", f"file://{arriving}"))
        run_here("clean", *words)
        assert orphans(spark, workspace, ("images", "arrivals")) == []
        shutil.rmtree(workspace)

    killer.rounds(WATCHES, attempt)
