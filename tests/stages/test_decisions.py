"""Decisions of people reach training, status and report, and nothing takes them away."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipelines.cleanup import leftovers
from pipelines.cleanup.clean import WorkspaceCleaner
from pipelines.errors import DataError
from pipelines.evaluation.split import labelled_images
from pipelines.reports.frames import images_with_split
from pipelines.schemas import Decision
from pipelines.stages import datasets
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.report import stage as report
from pipelines.stages.train import stage as train
from pipelines.stages.train.training_data import training_rows
from pipelines.status import as_text, collect_status
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.journal_files import format_line, journal_folder
from pipelines.workspace.labels import append_decisions, effective_images
from pipelines.workspace.tables import Tables

from .conftest import NOON, changed, jpeg

NOW = datetime.now(timezone.utc)


def decide(number, row, label, action="correct", **values):
    at = values.pop("at", NOW + timedelta(seconds=number))
    known = {"previous_label": row["label"], "reviewer": "ann", "reviewed_at": at}
    return Decision(f"id{number}", row["content_hash"], row["path"], label, action, **(known | values))


def write_journal(tables, *decisions):
    folder = journal_folder(tables.workspace)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "session.jsonl").open("ab") as file:
        file.write(b"".join(map(format_line, decisions)))
    return folder / "session.jsonl"


def test_decisions_of_a_journal_reach_training_status_and_report(spark, trained):
    tables, tracking = Tables.of(spark, trained), Tracking.of(trained)
    backbone = tracking.champion().tags["backbone"]
    before = {}
    for row in training_rows(tables, trained, backbone).drop("features").orderBy("path").collect():
        before.setdefault(row["split"], {}).setdefault(row["group_id"], []).append(row)
    learned, (chosen, doubted, *_) = next(iter(before["train"].values())), before["test"].values()
    other = {"plain": "striped", "striped": "plain"}
    journal = write_journal(
        tables,
        decide(1, learned[0], other[learned[0]["label"]]),
        decide(2, learned[1], learned[1]["label"], "confirm", reviewer="bob"),
        decide(3, doubted[0], None, "unknown"),
        decide(4, chosen[0], chosen[0]["label"], "confirm", is_model_chosen=True, group_id=chosen[0]["group_id"]),
        decide(5, chosen[0], None, "undo", undoes="id4"),
    )
    with journal.open("ab") as file:
        file.write(b"not a decision\n")

    found = collect_status(spark, trained)
    labels = {key: value for key, value in found["tables"]["labels"].items() if key not in ("bytes", "failures")}
    assert labels == {"rows": 5, "hashes": 4, "reviewers": 2, "since_champion": 5}
    assert found["missing"]["train"] == 2  # another label, and none any more
    assert found["tables"]["images"]["labelled"] == 180
    lines = as_text(found).splitlines()
    assert any(line.startswith("labels       5 rows, 4 hashes, 2 reviewers, 5 since champion; ") for line in lines)
    assert any(line.startswith(f"note         {journal}, line 6 is no decision") for line in lines)

    result = train.run(spark, trained)
    assert (result.read, result.written) == (179, 1)
    assert result.notes[0].startswith(f"{journal}, line 6 is no decision")
    version = tracking.versions()[0]
    assert version.version == "2"
    assert version.learned_groups == [chosen[0]["group_id"]]
    params = tracking.params(version)
    assert (params["table_version.labels"], params["rows.labelled_by_people"]) == ("0", "2")
    rows = {row["path"]: row for row in training_rows(tables, trained, backbone).drop("features").collect()}
    assert rows[learned[0]["path"]]["label"] == other[learned[0]["label"]]
    assert doubted[0]["path"] not in rows
    assert {rows[row["path"]]["split"] for row in chosen} == {"train"}
    assert int(params["rows.test"]) == sum(map(len, before["test"].values())) - len(chosen) - 1
    shown = {row["path"]: row for row in images_with_split(tables, trained, version).collect()}
    assert {path: row["split"] for path, row in shown.items() if row["split"]} == {
        path: row["split"] for path, row in rows.items()
    }
    assert shown[learned[0]["path"]]["label_source"] == "person"

    found = collect_status(spark, trained)
    assert found["missing"]["train"] == 0
    champion_is_new = found["champion"]["version"] == "2"
    assert found["tables"]["labels"]["since_champion"] == (0 if champion_is_new else 5)
    assert train.run(spark, trained).written == 0

    report.run(spark, trained)
    page = Path(trained.workspace, "reports", "report.html").read_text("utf-8")
    assert "Labels: 178 from the source, 2 by people; of 1 more image people could not tell the label." in page
    assert report.run(spark, trained).written == 0
    write_journal(tables, decide(6, doubted[0], doubted[0]["label"]))
    assert report.run(spark, trained).written == 1
    assert tables.read("labels").count() == 6


def test_labels_that_differ_in_case_are_said_to_be_from_people(spark, trained):
    tables = Tables.of(spark, trained)
    row = effective_images(tables).where("label = 'plain' and failure is null").first()
    append_decisions(tables, [decide(1, row, "Plain")])
    with pytest.raises(
        DataError,
        match=r"'Plain' \(1 images, 1 labelled by people\) and 'plain' \(89 images\)\..* another decision: `irbis rev",
    ):
        train.run(spark, trained)
    lower = changed(trained, "sources", label_case="lower")
    rows = training_rows(tables, lower, Tracking.of(trained).champion().tags["backbone"])
    assert {row["label"] for row in rows.select("label").distinct().collect()} == {"plain", "striped"}


PHOTOS = {f"S/{n}.jpg": jpeg(60 + 20 * n, n, NOON + timedelta(hours=5 * n)) for n in range(4)}


def write_labels(table, label, names=PHOTOS):
    table.write_text("path,label\n" + "".join(f"{name},{label}\n" for name in names))


def labels(frame):
    return {Path(row["path"]).name: row["label"] for row in frame.collect()}


def assert_shown(shown):
    """Check what is said of four labelled foxes, two of which are lynxes, and of one that nobody can tell."""
    assert (shown["labels_found"], shown["unlabelled"]) == ({"fox": 4}, 0)
    assert (shown["labels_in_force"], shown["decided_by_people"]) == ({"lynx": 2, "fox": 1}, 3)
    assert datasets.as_text(shown).splitlines()[-5:] == [
        "               4 fox",
        "in force     with the decisions of people about 3 images",
        "               2 lynx",
        "               1 fox",
        "               1 without a label",
    ]


def test_decisions_outlive_new_labels_files_moved_and_removed_images_clean_and_datasets(
    spark, make_settings, draw, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    folder, table = draw(PHOTOS), tmp_path / "labels.csv"
    write_labels(table, "fox")
    settings = make_settings(
        {"sources.images": str(folder), "sources.labels": str(table), "ingest.files_per_commit": 9}
    )
    settings = changed(settings, "ingest", max_removed_fraction=1.0)
    tables = Tables.of(spark, settings)
    datasets.add(spark, settings, "survey")
    ingest.run(spark, settings)

    rows = {Path(row["path"]).name: row for row in tables.latest_images().collect()}
    made = [
        decide(1, rows["0.jpg"], "lynx"),
        decide(2, rows["1.jpg"], "lynx"),
        decide(3, rows["2.jpg"], None, "unknown"),
    ]
    assert "in force" not in datasets.as_text(datasets.show_dataset(spark, settings, "survey"))
    write_journal(tables, *made)
    assert_shown(datasets.show_dataset(spark, settings, "survey"))
    stored = sorted(map(tuple, tables.read("labels").collect()))

    assert ingest.run(spark, settings).written == 0  # the decisions are no change of the source
    write_labels(table, "hare")
    os.utime(table, (1, 1))
    ingest.run(spark, settings)
    assert set(labels(tables.latest_images()).values()) == {"hare"}
    assert labels(effective_images(tables)) == {"0.jpg": "lynx", "1.jpg": "lynx", "2.jpg": None, "3.jpg": "hare"}

    (folder / "S/0.jpg").rename(folder / "S/moved.jpg")
    away = shutil.move(folder / "S/1.jpg", tmp_path / "away.jpg")
    (folder / "S/2.jpg").unlink()
    write_labels(table, "hare", ["S/moved.jpg", "S/3.jpg"])
    ingest.run(spark, settings)
    assert labels(effective_images(tables)) == {"moved.jpg": "lynx", "3.jpg": "hare"}
    assert [row["label"] for row in labelled_images(effective_images(tables)).orderBy("label").collect()] == [
        "hare",
        "lynx",
    ]
    datasets.remove(spark, settings, "survey")
    list(WorkspaceCleaner(settings).run(lambda: spark))
    kept = {Path(row["path"]).name for row in tables.read("images").select("path").distinct().collect()}
    assert kept == {"0.jpg", "moved.jpg", "3.jpg"}  # 0.jpg has the bytes of moved.jpg; the others are gone
    assert sorted(map(tuple, tables.read("labels").collect())) == stored

    shutil.move(away, folder / "S/back.jpg")
    ingest.run(spark, settings)
    assert labels(effective_images(tables)) == {"moved.jpg": "lynx", "3.jpg": "hare", "back.jpg": "lynx"}


def test_clean_leaves_files_of_a_merge_that_may_be_in_progress(make_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = make_settings()
    workspace = Path(settings.workspace)
    for name, age in (("images", 0), ("labels", 0), ("labels", 8)):
        file = workspace / "tables" / name / f"part-{age}-c000.snappy.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        os.utime(file, (NOW.timestamp() - 86_400 * age,) * 2)
    (workspace / "tables/images/_delta_log").mkdir()
    (workspace / "tables/labels/_delta_log").mkdir()
    journal = workspace / "review/journal/ann.jsonl"
    journal.parent.mkdir(parents=True)
    for file in (journal, journal.with_suffix(".merged"), journal.with_name(".ann.merged.77.draft")):
        file.write_bytes(b"1")
        os.utime(file, (1, 1))
    found = {str(path.relative_to(workspace)) for each in leftovers.find_leftovers(settings) for path in each.paths}
    assert found == {
        "tables/images/part-0-c000.snappy.parquet",
        "tables/labels/part-8-c000.snappy.parquet",
        "review/journal/.ann.merged.77.draft",
    }
