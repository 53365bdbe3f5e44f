"""`irbis explain` in this process, and what the report and deletions make of its boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pipelines.cli.app import main
from pipelines.stages.explain import stage as explain
from pipelines.stages.report import stage as report
from pipelines.stages.score import stage as score
from pipelines.workspace.deletions import delete_removed
from pipelines.workspace.tables import Tables

pytestmark = pytest.mark.process


@pytest.fixture
def scored(spark, trained):
    score.run(spark, trained)
    return trained


@pytest.fixture
def irbis(scored, tmp_path, monkeypatch, capsys):
    """Return a function of words that runs the command and returns what it prints."""
    monkeypatch.setenv("IRBIS_RUNS__HISTORY_DIR", str(tmp_path / "history"))

    def run(*words: str) -> tuple[str, str]:
        capsys.readouterr()
        main([*words, "--workspace", scored.workspace])
        return tuple(capsys.readouterr())

    return run


def test_the_filters_of_export_choose_and_the_report_draws_what_was_explained(spark, scored, irbis):
    tables = Tables.of(spark, scored)
    report.run(spark, scored)
    page = Path(scored.workspace) / "reports" / "report.html"
    assert "where the model looks" not in page.read_text("utf-8")
    out, _ = irbis("explain", "--all", "--station", "S1", "--label", "striped")
    assert out.startswith("explain: ") and "with irbis/1, up_to_scale" in out
    rows = tables.read("boxes").collect()
    count = tables.latest_images().where("station = 'S1' and label = 'striped'").count()
    assert len(rows) == count > 0 and all("/S1/striped/" in row["path"] for row in rows)
    out, _ = irbis("explain", "--all", "--station", "S1", "--label", "striped")
    assert out.startswith("explain: 0 read, 0 written")
    irbis("explain", "--all")
    assert tables.read("boxes").count() == 181
    assert report.run(spark, scored).written == 1
    text = page.read_text("utf-8")
    assert "where the model looks for" in text and "<rect " in text


def test_a_filter_without_images_and_an_unknown_label_end_with_a_sentence(irbis, capsys):
    with pytest.raises(SystemExit) as end:
        irbis("explain", "--until", "1999-12-31")
    assert end.value.code == 2 and "No image is left" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        irbis("explain", "--label", "stripes")
    assert "striped" in capsys.readouterr().err


def test_the_boxes_of_removed_images_are_deleted_with_them(spark, scored):
    tables = Tables.of(spark, scored)
    explain.run(spark, scored, needs_review=False)
    path = tables.read("boxes").where("failure is null").orderBy("path").first()["path"]
    gone = tables.read("images").where(F.col("path") == path).withColumn("removed_at", F.current_timestamp())
    tables.append("images", gone.withColumn("ingested_at", F.current_timestamp()).withColumn("content", F.lit(None)))
    delete_removed(tables, scored)
    assert tables.read("boxes").count() == 180
    assert not tables.read("boxes").where(F.col("path") == path).head(1)
