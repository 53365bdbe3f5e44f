"""Real images with ImageNet weights: what a careful person reaches by hand is the least that must come out."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import functions as F

from pipelines.config.loader import load_settings
from pipelines.evaluation.results import Evaluation
from pipelines.stages.train.stage import training_rows
from pipelines.tracking.mlflow_client import EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from .conftest import closing_lines

pytestmark = pytest.mark.slow


def weights(shared_data, backbone):
    return ["--backbone", backbone, "--weights", str(shared_data / "backbones" / f"{backbone}_imagenet.safetensors")]


def test_trashnet_reaches_the_reference_with_both_imagenet_backbones(irbis, shared_data, tmp_path):
    words = ["run", "--images", str(shared_data / "trashnet"), "--workspace", "w"]
    first = irbis(*words, *weights(shared_data, "squeezenet1_1"))
    assert "2,527 read, 2,527 written, 0 failed" in closing_lines(first.stdout)["ingest"]
    assert "2,524 read, 2,524 written, 0 failed" in closing_lines(first.stdout)["featurize"]
    assert "3 images with more than one label" in first.stderr
    assert closing_lines(first.stdout)["train"].startswith("train: 2,521 read, 1 written")
    second = irbis(*words, *weights(shared_data, "mobilenet_v2"))
    assert "0 read, 0 written" in closing_lines(second.stdout)["ingest"]

    status = json.loads(irbis("status", "--json", "--workspace", "w").stdout)
    images = status["tables"]["images"]
    assert (images["rows"], images["paths"], images["hashes"], images["failures"]) == (2527, 2527, 2524, {})
    assert sorted(status["tables"]["features"]["backbones"].values()) == [2524, 2524]
    tracking = Tracking.of(load_settings(None, {"workspace": str(tmp_path / "w")}))
    for version in tracking.versions():
        test = Evaluation.from_dict(tracking.read_json(version, EVALUATION)["test"])
        accuracy = test.metrics["accuracy"]
        assert accuracy.value >= 0.80, (str(version), accuracy)
        assert accuracy.low < accuracy.value < accuracy.high


def test_cameras_that_face_each_other_never_stand_on_two_sides(irbis, shared_data, spark, tmp_path):
    folder = shared_data / "cameratrap_peru_sdzg"
    words = ["run", "--images", str(folder), "--labels", str(folder / "labels.csv"), "--workspace", "w"]
    out = '--set=train.exclude_labels=["unsure", "human_setup"]'
    done = irbis(*words, out, "--set=images.crop_bottom=0.07", *weights(shared_data, "squeezenet1_1"))
    assert "99 read, 1 written" in closing_lines(done.stdout)["train"]
    settings = load_settings(
        None, {"workspace": str(tmp_path / "w"), "train.exclude_labels": ["unsure", "human_setup"]}
    )
    champion = Tracking.of(settings).champion()
    rows = training_rows(Tables.of(spark, settings), settings, champion.tags["backbone"])
    sides = rows.groupBy("group_id").agg(F.countDistinct("split").alias("sides"))
    assert sides.where("sides > 1").count() == 0
    test = Evaluation.from_dict(Tracking.of(settings).read_json(champion, EVALUATION)["test"])
    assert test.is_grouped and test.groups == rows.where("split = 'test'").select("group_id").distinct().count()
    page = (tmp_path / "w" / "reports" / "report.html").read_text()
    assert "grouped by encounter" in page
