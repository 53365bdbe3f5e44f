"""What is read without Spark equals what Spark reads."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

import numpy as np
import pytest

pytest.importorskip("deltalake")

from pipelines.config.loader import load_settings
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.review.decisions import Decisions
from pipelines.review.journal import JournalReader, JournalWriter
from pipelines.review.load import Loader
from pipelines.review.queues import Filters, Queues
from pipelines.schemas import Decision
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.score import stage as score
from pipelines.tracking.local_champion import read_local_version
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.labels import append_decisions, decisions_in_force, effective_images
from pipelines.workspace.tables import Tables

from ..stages.conftest import NOON, champion, featurized, trained  # noqa: F401  # fixtures


def no_spark():
    pytest.fail("Spark was used")


def load(settings, workspace, get_spark):
    return Loader(settings, workspace, get_spark).load()


def by_path(snapshot):
    return {snapshot.paths[row].as_py(): row for row in range(len(snapshot))}


@pytest.fixture
def scored(spark, trained):  # noqa: F811
    score.run(spark, trained)
    return trained


def test_the_snapshot_is_what_spark_reads(spark, scored):
    tables = Tables.of(spark, scored)
    loaded = load(scored, tables.workspace, no_spark)
    snapshot = loaded.snapshot
    images = tables.latest_images().where("content_hash is not null")
    expected = {row["path"]: row for row in images.collect()}
    rows = by_path(snapshot)
    assert set(rows) == set(expected) and len(rows) == 181
    predictions = {row["path"]: row for row in tables.read("predictions").collect()}
    for path, row in rows.items():
        image, prediction = expected[path], predictions[path]
        known = (
            bytes(snapshot.hashes[row]).decode(),
            snapshot.labels.text(row),
            snapshot.stations.text(row),
            snapshot.groups.text(row),
            snapshot.failures.text(row),
        )
        assert known == tuple(image[name] for name in ("content_hash", "label", "station", "group_id", "failure"))
        assert snapshot.bursts.ids[snapshot.burst_of[row]].as_py() == image["burst_id"]
        assert snapshot.predictions.text(row) == prediction["prediction"]
        assert snapshot.burst_predictions.text(row) == prediction["burst_prediction"]
        if prediction["score"] is not None:
            assert snapshot.scores[row] == prediction["score"]
            assert snapshot.burst_scores[row] == prediction["burst_score"]
    assert loaded.notes == ()


def test_the_burst_vote_is_that_of_score_and_the_best_frame_has_the_highest_probability(spark, scored):
    tables = Tables.of(spark, scored)
    snapshot = load(scored, tables.workspace, no_spark).snapshot
    predictions = {row["path"]: row for row in tables.read("predictions").where("failure is null").collect()}
    bursts = snapshot.bursts
    of_interest = [name for name in snapshot.model.classes if snapshot.model.is_sought(name)]
    assert len(bursts) > 55
    for burst in np.flatnonzero(bursts.is_scored):
        frames = [predictions[snapshot.paths[row].as_py()] for row in snapshot.readable_frames(burst)]
        label = frames[0]["burst_prediction"]
        best = max(frame["probabilities"][label] for frame in frames)
        shown = predictions[snapshot.paths[int(bursts.best[burst])].as_py()]
        assert shown["probabilities"][label] == best
        assert bursts.needs_review[burst] == frames[0]["needs_review"]
        if set(of_interest) == set(snapshot.model.classes):
            assert bursts.sought[burst] == pytest.approx(1, abs=1e-5)
            assert bursts.margin[burst] == pytest.approx(abs(frames[0]["burst_score"] - 0.8), abs=1e-6)


def test_the_stored_bytes_of_every_row_are_found_also_of_copies(spark, make_settings, tmp_path):
    from ..stages.conftest import MIXED

    for folder, names in (("images", "abcde"), ("images/later", "ac")):  # the second are copies of the first
        for name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.jpg").write_bytes(MIXED[f"{name}.jpg"])
        settings = make_settings({"sources.images": str(tmp_path / "images"), "sources.labels": "none"})
        ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    loaded = load(settings, tables.workspace, no_spark)
    snapshot = loaded.snapshot
    rows = {path.rpartition("/images/")[2]: row for path, row in by_path(snapshot).items()}
    found = {name: loaded.read_bytes(row, ()) for name, row in rows.items() if snapshot.failures.text(row) is None}
    copies = {f"later/{name}.jpg": MIXED[f"{name}.jpg"] for name in "ac"}
    assert found == {name: content for name, content in MIXED.items() if content} | copies
    holders = {name: int(snapshot.holders[row]) for name, row in rows.items()}
    assert holders["later/c.jpg"] == holders["c.jpg"] and holders["later/a.jpg"] in (holders["a.jpg"], holders["d.jpg"])


def test_the_version_is_that_of_mlflow(scored):
    read, expected = read_local_version(scored), Tracking.of(scored).champion()
    assert (read.name, read.version, read.run_id, read.created_at) == (
        expected.name,
        expected.version,
        expected.run_id,
        expected.created_at,
    )
    assert dict(read.tags) == dict(expected.tags) and read.classes == ["plain", "striped"]
    ReviewPolicy.from_json(read.tags["review_policy"])
    numbered = load_settings(None, {"workspace": scored.workspace, "score.model_version": "7"})
    assert read_local_version(numbered) is None


def test_a_champion_that_has_not_scored_yet_is_named(spark, trained):  # noqa: F811
    loaded = load(trained, Tables.of(spark, trained).workspace, no_spark)
    assert loaded.notes == ("irbis/1 has not scored the images yet: run `irbis score` to review its predictions.",)
    assert loaded.snapshot.model is None


def test_tables_that_only_spark_can_read_are_read_with_spark_and_a_screen_of_images_at_once(spark, scored, monkeypatch):
    tables = Tables.of(spark, scored)
    direct = load(scored, tables.workspace, no_spark)
    spark.sql(
        f"ALTER TABLE delta.`{tables.location('images')}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    )
    slow = load(scored, tables.workspace, lambda: spark)
    assert slow.notes[0].startswith("The tables are read with Spark (") and "version 3" in slow.notes[0]
    assert by_path(slow.snapshot).keys() == by_path(direct.snapshot).keys()
    rows = [row for row in range(len(slow.snapshot)) if slow.snapshot.failures.text(row) is None][:20]
    queries = []
    real = tables.spark.createDataFrame
    monkeypatch.setattr(type(spark), "createDataFrame", lambda self, *given: queries.append(1) or real(*given))
    found = [slow.read_bytes(row, rows) for row in rows]  # a screen
    monkeypatch.undo()
    assert len(queries) == 1
    assert found == [direct.read_bytes(by_path(direct.snapshot)[slow.snapshot.paths[row].as_py()], ()) for row in rows]
    assert slow.snapshot.paths == direct.snapshot.paths and slow.snapshot.bursts.ids == direct.snapshot.bursts.ids
    assert slow.snapshot.bursts.margin == pytest.approx(direct.snapshot.bursts.margin, abs=1e-6)


def test_labels_in_force_are_those_of_spark_for_a_random_history(spark, scored, tmp_path):
    tables = Tables.of(spark, scored)
    snapshot = load(scored, tables.workspace, no_spark).snapshot
    chance, hashes = random.Random(5), [bytes(each).decode() for each in snapshot.hashes[:20]]
    history = []
    for _ in range(300):
        action = chance.choice(["confirm", "correct", "unknown", "skip", "undo"])
        before = [each for each in history if each.action != "undo"]
        undone = chance.choice(before) if action == "undo" and before else None
        if action == "undo" and undone is None:
            continue
        label = chance.choice(["plain", "striped", "otter"]) if action in ("confirm", "correct") else None
        content = undone.content_hash if undone else chance.choice(hashes)
        moment = NOON.astimezone() + timedelta(seconds=chance.randrange(50))  # ties are common
        identity = str(uuid.UUID(int=chance.getrandbits(128)))
        history.append(
            Decision(identity, content, "p", label, action, undone and undone.decision_id, reviewed_at=moment)
        )
    append_decisions(tables, history)
    expected = {row["content_hash"]: row["decision_id"] for row in decisions_in_force(tables).collect()}
    loaded = load(scored, tables.workspace, no_spark)
    decisions = Decisions(loaded.snapshot, JournalReader(tmp_path / "none"), JournalWriter(tmp_path / "none", "s"), "s")
    decisions.load(loaded.decisions)
    found = {each: current.decision_id for each in hashes if (current := decisions.in_force(each))}
    assert found == expected and len(found) > 10
    effective = {
        row["path"]: row["label"] for row in effective_images(tables).where("content_hash is not null").collect()
    }
    assert {path: decisions.label_of(row) for path, row in by_path(loaded.snapshot).items()} == effective
    assert len(Queues(decisions, tmp_path).get("class", Filters(label="otter")).bursts) > 0
