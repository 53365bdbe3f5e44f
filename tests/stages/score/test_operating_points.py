"""Which bursts need review: those that reach the operating point of a class of interest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.evaluation.burst_vote import aggregate_burst
from pipelines.evaluation.review_policy import OperatingPoint, ReviewPolicy
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.stages.train import training_data
from pipelines.tracking.mlflow_client import EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed


def test_what_reaches_the_operating_point_of_what_is_sought_needs_review(spark, settings):
    sought = changed(
        settings, "train", classes_of_interest=["striped"], burst_aggregation="max", fractions=[0.4, 0.3, 0.3]
    )
    train.run(spark, sought)
    version, tables = Tracking.of(sought).champion(), Tables.of(spark, sought)
    decision = ReviewPolicy.from_json(version.tags["review_policy"])
    assert (decision.max_weight, decision.classes_of_interest) == (1.0, ("striped",))
    trusted = [replace(point, groups=20) for point in decision.operating_points]  # there are not so many
    Tracking.of(sought).tag(version, review_policy=replace(decision, operating_points=tuple(trusted)).to_json())
    review = {
        (each["point"]["unit"], each["point"]["recall"]): each for each in evaluation_of(sought)["operating_points"]
    }
    test = training_data.training_rows(tables, sought, version.tags["backbone"]).where("split = 'test'").collect()
    for recall_unit in ("image", "group"):
        (threshold,) = [each.threshold for each in trusted if (each.unit, each.recall) == (recall_unit, 0.95)]
        assert score.run(spark, changed(sought, "score", target_recall=0.95, recall_unit=recall_unit)).written == 180
        rows = [row for row in tables.read("predictions").collect() if not row["failure"]]
        bursts = [row["burst_id"] for row in rows]
        expected = aggregate_burst(
            [[row["probabilities"][name] for name in ("plain", "striped")] for row in rows], bursts, 1.0
        )
        for row, (plain, striped) in zip(rows, expected, strict=True):
            assert row["burst_score"] == pytest.approx(max(plain, striped))
            assert row["burst_prediction"] == ("striped" if striped > plain else "plain")
            assert row["needs_review"] == (striped >= threshold - 1e-9)
        assert {row["needs_review"] for row in rows} == {True, False}
        looked_at = {row["content_hash"]: row["needs_review"] for row in rows}
        share = np.mean([looked_at[row["content_hash"]] for row in test])
        assert review[recall_unit, 0.95]["share"]["value"] == pytest.approx(share)  # what was promised is what is done
        tables.delete("predictions", F.lit(True))


def test_what_is_taken_for_a_class_without_an_operating_point_needs_review(spark, trained):
    tracking = Tracking.of(trained)
    version = tracking.champion()
    point = OperatingPoint("striped", "image", 0.99, threshold=0.999999, units=500, groups=99)  # one group too few
    tracking.tag(version, review_policy=ReviewPolicy(0.0, ("striped",), (point,)).to_json())
    score.run(spark, trained)
    rows = [row for row in Tables.of(spark, trained).read("predictions").collect() if not row["failure"]]
    for row in rows:
        assert row["needs_review"] == (row["burst_prediction"] == "striped" or row["burst_score"] < 0.8)
    assert {row["needs_review"] for row in rows} == {True, False}


def evaluation_of(settings):
    tracking = Tracking.of(settings)
    return tracking.read_json(tracking.champion(), EVALUATION)
