"""Scoring with a version that also uses flipped images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.classifiers.transformers import predict_probabilities
from pipelines.errors import DataError, ModelError
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.score import stage as score
from pipelines.stages.score.stage import require_backbone
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

from ..conftest import changed


def test_a_version_that_decides_on_both_views_gives_their_mean(spark, trained):
    tracking, tables = Tracking.of(trained), Tables.of(spark, trained)
    champion = tracking.champion()
    before = ReviewPolicy.from_json(champion.tags["review_policy"])
    tracking.tag(champion, review_policy=replace(before, average_flip=True).to_json())
    remedy = (
        r"no features of irbis_tiny.* Run `irbis featurize --backbone irbis_tiny --set featurize\.horizontal_flip=true`"
    )
    with pytest.raises(DataError, match=remedy):
        score.run(spark, trained)
    with pytest.raises(ModelError, match=r"also uses flipped images, .* Add --set featurize\.horizontal_flip=true"):
        require_backbone(trained)
    flipped = changed(trained, "featurize", horizontal_flip=True)
    require_backbone(flipped)
    featurize.run(spark, flipped)
    score.run(spark, trained)
    rows = read_features(tables, champion.tags["backbone"], flipped=True).where("features is not null")
    model = tracking.load(champion)
    one, other = (
        {row["content_hash"]: row["probability"] for row in predict_probabilities(model, rows, view).collect()}
        for view in ("features", "flipped")
    )
    found = tables.read("predictions").where("failure is null").collect()
    assert len(found) == 180
    for row in found:
        mean = (np.array(one[row["content_hash"]]) + other[row["content_hash"]]) / 2
        assert [row["probabilities"][name] for name in champion.classes] == pytest.approx(mean)
    assert any(abs(one[key][0] - other[key][0]) > 1e-6 for key in one)
