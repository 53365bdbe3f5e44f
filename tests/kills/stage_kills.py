"""Kill one stage and compare what its completion leaves with what an undisturbed run does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from ..same_tables import CONTENT, assert_same_tables
from .conftest import Stages
from .killing import Killer, copy_of, options, orphans, run_apart, run_here

ALL = tuple(CONTENT)


@dataclass(frozen=True)
class Work:
    """A command that is killed: from which workspace it begins, how often, and which tables it leaves."""

    words: tuple[str, ...]
    begins_from: str
    kills: int
    tables: tuple[str, ...]
    after: tuple[str, ...] = ()  # commands whose result shows what the killed one has made


def kill_and_compare(spark: SparkSession, survey: Path, stages: Stages, folder: Path, name: str, work: Work) -> None:
    """Kill a command in rounds that each begin from a copy of the workspace; raise AssertionError where they differ."""
    undisturbed = copy_of(stages[work.begins_from], folder / "undisturbed")
    killer = Killer(name, run_apart(*work.words, *options(survey, undisturbed), folder=folder))
    for stage in work.after:
        run_here(stage, *options(survey, undisturbed))

    def attempt(number: int, kills: int) -> None:
        workspace = copy_of(stages[work.begins_from], folder / f"killed {number}")
        words = options(survey, workspace)
        for _ in range(kills):
            if not killer.kill(*work.words, *words, folder=folder):
                break
        for stage in (*work.words, *work.after):
            run_here(stage, *words)
        if work.words[0] in ("report", "run"):
            assert (workspace / "reports/report.html").read_text("utf-8").rstrip().endswith("-->")
        run_here("clean", *words)
        assert orphans(spark, workspace) == []
        assert_same_tables(spark, undisturbed, workspace, work.tables)
        shutil.rmtree(workspace)

    killer.rounds(work.kills, attempt)
