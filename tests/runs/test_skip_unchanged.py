"""Whether a run has nothing to do, told from what went in and what the last one left; no Spark."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from pipelines.runs import skip_unchanged
from pipelines.stages.result import StageResult

RESULTS = [
    StageResult("ingest", 3, 2, {"truncated": 1}, 5.0, ("1 is gone.", "2 are new."), persistent_notes=("1 is gone.",)),
    StageResult("train", 2, 1, outcome="irbis/1 is champion", noop_outcome="irbis/1 was trained on the same"),
]


@pytest.fixture
def chosen(make_settings, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"image")
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,lynx\n")
    left = ("tables/images/_delta_log/0.json", "tables/images/part-0.parquet", "mlflow.db", "reports/report.html")
    for name in (*left, "artifacts/f00/artifacts/model/MLmodel"):
        file = tmp_path / "workspace" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("as the run left it")
    places = {"images": tmp_path / "images", "labels": tmp_path / "labels.csv"}
    words = {"workspace": str(tmp_path / "workspace")} | {f"sources.{name}": str(at) for name, at in places.items()}
    return lambda **more: make_settings(words | more)


@pytest.fixture
def kept(chosen):
    settings = chosen()
    skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), RESULTS)
    return settings


def asked(settings):
    return skip_unchanged.cached_results(settings, skip_unchanged.input_digest(settings))


def test_a_run_that_finds_all_as_it_was_says_what_idle_stages_say(kept):
    assert asked(kept) == [
        StageResult("ingest", notes=("1 is gone.",)),
        StageResult("train", outcome="irbis/1 was trained on the same"),
    ]


def rewrite(name):
    def change(folder):
        file = folder / name
        before = file.stat()
        file.write_text("other text")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    return change


@pytest.mark.parametrize(
    "change",
    [
        rewrite("images/a.jpg"),
        lambda folder: (folder / "images/c.jpg").write_bytes(b"image"),
        lambda folder: (folder / "images/b.jpg").unlink(),
        lambda folder: (folder / "images/b.jpg").rename(folder / "images/d.jpg"),
        rewrite("labels.csv"),
        rewrite("workspace/mlflow.db"),
        lambda folder: (folder / "workspace/reports/report.html").unlink(),
        lambda folder: (folder / "workspace/tables/images/_delta_log/1.json").write_text("another's commit"),
        lambda folder: (folder / "workspace/tables/images/part-0.parquet").unlink(),
        rewrite("workspace/artifacts/f00/artifacts/model/MLmodel"),
        lambda folder: shutil.rmtree(folder / "workspace/artifacts"),
        lambda folder: (folder / "workspace" / skip_unchanged.LAST_RUN_FILE).write_text('{"version": "another"}'),
        lambda folder: (folder / "workspace" / skip_unchanged.LAST_RUN_FILE).write_text("cut of"),
    ],
    ids=[
        "rewritten",
        "new",
        "gone",
        "renamed",
        "labels",
        "model",
        "report",
        "commit",
        "bytes",
        "artifact",
        "artifacts",
        "otherversion",
        "cut",
    ],
)
def test_whatever_has_changed_is_looked_into(kept, tmp_path, change):
    change(tmp_path)
    assert asked(kept) == []


def test_a_decision_in_a_journal_is_looked_into(chosen, tmp_path):
    settings, journal = chosen(), tmp_path / "workspace/review/journal/ann.jsonl"
    journal.parent.mkdir(parents=True)
    for text in ("one\n", "one\ntwo\n"):
        journal.write_text(text)
        assert asked(settings) == []
        skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), RESULTS)
        journal.with_suffix(".merged").write_text(str(len(text)))  # as the run left it
        assert asked(settings) != []


def write_part(folder, text):
    """Write a Parquet folder's only part with the same size and date each time."""
    part = folder / "labels.parquet" / "season=1" / "part-0.parquet"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(text)
    os.utime(part, (1, 1))
    return part


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_part(folder, "wolf"),
        lambda folder: (folder / "labels.parquet" / "part-1.parquet").write_text("more"),
        lambda folder: (folder / "labels.parquet" / "season=1" / "part-0.parquet").unlink(),
    ],
    ids=["rewritten", "new", "gone"],
)
def test_a_folder_of_labels_is_looked_into_part_by_part(chosen, tmp_path, change):
    write_part(tmp_path, "lynx")
    settings = chosen(**{"sources.labels": str(tmp_path / "labels.parquet")})
    skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), RESULTS)
    write_part(tmp_path, "lynx")
    assert len(asked(settings)) == 2
    change(tmp_path)
    assert asked(settings) == []


@pytest.mark.parametrize("name", ["", "datapackage.json"])
def test_of_a_camtrap_dp_package_the_tables_are_inputs_too_but_not_its_images(chosen, tmp_path, name):
    package = tmp_path / "package"
    package.mkdir()
    resources = [{"name": table, "path": f"{table}.csv"} for table in ("media", "observations")]
    (package / "datapackage.json").write_text(json.dumps({"resources": resources}))
    (package / "observations.csv").write_text("lynx")
    settings = chosen(**{"sources.labels": str(package / name)})
    skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), RESULTS)
    (package / "1.jpg").write_bytes(b"image")
    assert len(asked(settings)) == 2
    (package / "observations.csv").write_text("wolf")
    assert asked(settings) == []


def test_labels_written_again_within_one_tick_of_the_clock_are_looked_into(kept, tmp_path):
    before = (tmp_path / "labels.csv").stat()
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,wolf\n")
    os.utime(tmp_path / "labels.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (tmp_path / "labels.csv").stat().st_size == before.st_size
    assert asked(kept) == []


@pytest.mark.parametrize("year, count", [(2000, 0), (9000, 2)])
def test_a_stage_that_is_due_again_is_asked_even_if_nothing_changed(chosen, year, count):
    settings = chosen()
    results = [replace(RESULTS[0], due=datetime(year, 1, 1, tzinfo=timezone.utc)), RESULTS[1]]
    skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), results)
    assert len(asked(settings)) == count


def test_another_setting_or_another_package_is_looked_into(kept, chosen, tmp_path, monkeypatch):
    assert asked(chosen(**{"train.max_iter": "7"})) == []
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(skip_unchanged.pipelines, "__file__", str(package / "__init__.py"))
    assert asked(kept) == []


def test_other_weights_in_the_cache_are_looked_into(chosen, tmp_path):
    file = tmp_path / "cache" / "resnet18-5c106cde.pth"
    file.parent.mkdir()
    words = {"featurize.backbone": "irbis_tiny+resnet18", "featurize.weights_cache": str(file.parent)}
    file.write_bytes(b"weights")
    settings = chosen(**words)
    skip_unchanged.save_digest(settings, skip_unchanged.input_digest(settings), RESULTS)
    assert len(asked(settings)) == 2
    file.write_bytes(b"other weights")
    assert asked(settings) == []


@pytest.mark.parametrize("failure, is_kept", [("vanished", False), ("unavailable", False), ("truncated", True)])
def test_a_run_is_not_kept_if_another_may_read_what_it_could_not(chosen, failure, is_kept):
    settings = chosen()
    skip_unchanged.save_digest(
        settings, skip_unchanged.input_digest(settings), [StageResult("ingest", 1, 0, {failure: 1})]
    )
    assert bool(asked(settings)) == is_kept


@pytest.mark.parametrize(
    "words, variable",
    [
        ({"tracking.uri": "http://127.0.0.1:1"}, None),
        ({"tables.schema": "main.irbis"}, None),
        ({}, "DATABRICKS_RUNTIME_VERSION"),
    ],
)
def test_where_models_or_tables_are_on_a_server_every_run_looks(chosen, monkeypatch, words, variable):
    if variable:
        monkeypatch.setenv(variable, "15.4")
    settings = chosen(**words)
    assert skip_unchanged.input_digest(settings) is None
    skip_unchanged.save_digest(settings, None, RESULTS)
    assert skip_unchanged.cached_results(settings, None) == []
