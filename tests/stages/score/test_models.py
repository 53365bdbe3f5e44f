"""Several models or backbones in one workspace."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.backbones import backbones_from_settings
from pipelines.errors import DataError, ModelError
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.score import stage as score
from pipelines.stages.score.stage import require_backbone
from pipelines.stages.train import stage as train
from pipelines.status import collect_status
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed


def test_backbones_side_by_side_go_through_all_stages_under_one_name(spark, settings):
    joined = changed(settings, "featurize", backbone="irbis_tiny+raw_pixels")
    assert collect_status(spark, joined)["missing"]["featurize"] == 181
    with pytest.raises(DataError, match="a label and features"):
        train.run(spark, joined)  # one part alone is not what was asked for
    featurize.run(spark, joined)
    missing = collect_status(spark, joined)["missing"]
    assert (missing["featurize"], missing["train"]) == (0, 180)
    result = train.run(spark, joined)
    assert (result.read, result.written) == (180, 1)
    version = Tracking.of(joined).champion()
    tiny, pixels = (each.feature_id for each in backbones_from_settings(joined))
    assert version.tags["backbone"] == f"{tiny}+{pixels}"
    assert score.run(spark, joined).failures == {"not_an_image": 1}
    assert collect_status(spark, joined)["missing"] == {
        "ingest": 0,
        "featurize": 0,
        "train": 0,
        "score": 0,
        "report": 1,
    }
    require_backbone(joined)
    with pytest.raises(ModelError, match=r"Featurize with irbis_tiny\+raw_pixels \(--backbone irbis_tiny\+raw_pixels,"):
        require_backbone(settings)
    # The champion of a run with one of them is compared on its own features.
    alone = train.run(spark, settings)
    assert "irbis/1 1.000 on the same" in alone.outcome
    tables = Tables.of(spark, joined)
    tables.delete("features", F.col("backbone") == pixels)
    tables.delete("predictions", F.lit(True))
    other = changed(joined, "score", model_version="1")
    with pytest.raises(
        ModelError, match=r"table features holds irbis_tiny@\S+ for 180 images. Featurize with irbis_ti"
    ):
        score.run(spark, other)


def test_a_second_model_in_the_same_workspace_is_scored_beside_the_first(spark, trained):
    score.run(spark, trained)
    other = changed(trained, "tracking", model="leopards")
    train.run(spark, other)
    assert score.run(spark, other).outcome == "with leopards/1"
    counted = Tables.of(spark, other).read("predictions").groupBy("model_name").count().collect()
    assert {row["model_name"]: row["count"] for row in counted} == {"irbis": 181, "leopards": 181}
    assert score.run(spark, trained).read == 0
