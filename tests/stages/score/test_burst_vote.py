"""A model version without a burst vote."""

from __future__ import annotations

from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.stages.score import stage as score
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables


def test_without_a_vote_every_image_keeps_its_own_prediction(spark, trained):
    tracking = Tracking.of(trained)
    tracking.tag(tracking.champion(), review_policy=ReviewPolicy(None, ("striped",)).to_json())
    assert score.run(spark, trained).written == 180
    rows = [row for row in Tables.of(spark, trained).read("predictions").collect() if not row["failure"]]
    for row in rows:
        assert (row["burst_prediction"], row["burst_score"]) == (row["prediction"], row["score"])
        assert row["needs_review"] == (row["prediction"] == "striped" or row["score"] < 0.8)
    assert len({row["burst_id"] for row in rows}) == 60
    scores: dict[str, set[float]] = {}
    for row in rows:
        scores.setdefault(row["burst_id"], set()).add(row["burst_score"])
    assert max(map(len, scores.values())) == 3
