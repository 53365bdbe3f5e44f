"""SIGKILL at random moments of the stages and of a watch: the tables are those of an undisturbed run."""

from __future__ import annotations

import shutil
import time

import pytest

from ..same_tables import assert_same_tables
from .killing import Killer, options, orphans, run_here, running
from .stage_kills import ALL, Work, kill_and_compare

pytestmark = pytest.mark.kills

WORK = {
    "ingest": Work(("ingest",), "nothing", 30, ("images",)),
    "featurize": Work(("featurize",), "ingest", 25, ("images", "features")),
    "score": Work(("score",), "train", 25, ALL),
    "report": Work(("report",), "score", 10, ALL),
}
WATCHES = 15


@pytest.mark.parametrize("name", WORK)
def test_killed_and_run_to_the_end_the_tables_are_those_of_an_undisturbed_run(spark, survey, stages, tmp_path, name):
    kill_and_compare(spark, survey, stages, tmp_path, name, WORK[name])


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
            with running("ingest", "--watch", *words, "--set=ingest.poll_seconds=1", folder=tmp_path) as process:
                # It goes on without end: the moment is drawn from its start and what it does first.
                time.sleep(killer.chance.uniform(3, 14))
                assert process.poll() is None, f"the watch has ended with exit code {process.returncode}"
            killer.killed += 1
        run_here("ingest", *words)
        assert_same_tables(spark, undisturbed, workspace, ("images",), (f"file://{survey}", f"file://{arriving}"))
        run_here("clean", *words)
        assert orphans(spark, workspace, ("images",)) == []
        shutil.rmtree(workspace)

    killer.rounds(WATCHES, attempt)
