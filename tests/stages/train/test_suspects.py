"""Suspected label errors of a real training: the queue, the artifact, and what the report shows."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd

from pipelines.classifiers.training_set import TrainingSet
from pipelines.evaluation.predictions import PredictionSet
from pipelines.reports.suspects import collect_suspects
from pipelines.stages.train.suspects import RANKING_FILE, SUSPECTS_PATH, find_label_errors
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables


def test_train_ranks_every_labelled_image_and_keeps_the_ranking(spark, trained):
    tracking = Tracking.of(trained)
    version = tracking.champion()
    rows = list(csv.DictReader(io.StringIO(tracking._read(version.run_id, RANKING_FILE))))
    images = {row.content_hash: row for row in Tables.of(spark, trained).latest_images().collect()}
    assert len(rows) == len({row["content_hash"] for row in rows}) == 180
    assert all(row["label"] == images[row["content_hash"]].label for row in rows)
    confidences = [float(row["self_confidence"]) for row in rows]
    assert confidences == sorted(confidences)
    with open(f"{trained.workspace}/{SUSPECTS_PATH}", encoding="utf-8") as file:
        values = json.load(file)
    assert (values["model_version"], values["method"]) == ("1", "self_confidence")
    expected = [row["content_hash"] for row in rows[:11] if row["label"] != row["suggested"]]
    assert [item["content_hash"] for item in values["items"]] == expected
    assert tracking.read_json(version, "evaluation.json")["label_errors"]["ranked"] == 180


def test_the_report_shows_suspects_whose_label_is_unchanged(spark, trained):
    tables = Tables.of(spark, trained)
    one, other = tables.latest_images().where("label = 'plain' and failure is null").orderBy("path").limit(2).collect()
    suspect = {"suggested": "striped", "self_confidence": 0.02, "reason": "self_confidence"}
    first = [
        {"content_hash": one.content_hash, "label": "plain", **suspect},
        {"content_hash": other.content_hash, "label": "changed since", **suspect},
    ]
    values = {"label_errors": {"method": "self_confidence", "ranked": 180, "unranked": 0, "first": first}}
    summary = collect_suspects(tables, trained, values)
    (card,) = summary.suspects
    assert (card.path, card.label, card.prediction, card.score) == (one.path, "plain", "striped", 0.02)
    assert card.thumbnail.startswith("data:image/")
    assert collect_suspects(tables, trained, {}) is None


def test_images_without_a_held_out_prediction_are_counted():

    hashes = [f"h{i}" for i in range(4)]
    rows = TrainingSet(pd.DataFrame({"content_hash": hashes}), None)
    held_out = PredictionSet(["a", "b"], np.eye(2), ("a", "b"), hashes[:2], hashes[:2], content_hashes=hashes[:2])
    errors = find_label_errors(rows, (None, held_out), "self_confidence")
    assert (len(errors.ranking), errors.unranked) == (2, 2)
    assert errors.notes()[0].startswith("2 labelled images could not be checked for label errors")
    assert find_label_errors(rows.where(np.array([True, True, False, False])), (held_out,), "x").notes() == ()
