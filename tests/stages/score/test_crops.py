"""Features of views through all stages, and stations that training never saw."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.errors import DataError, ModelError
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.score import stage as score
from pipelines.stages.score.stage import require_backbone
from pipelines.stages.train import stage as train
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..conftest import RULES, changed
from ..featurize.stations import station_images


def in_turn(i):
    return i % 2 == 1


@pytest.fixture
def settings(make_settings, draw):
    for station in (1, 2):
        folder = draw(station_images(station, range(40), is_animal=in_turn))
    rules = {**RULES, "sources.images": str(folder), "sources.labels": "folder", "ingest.group_gap_minutes": "10"}
    return changed(make_settings(rules), "featurize", views=["whole", "motion", "motion_statistics"])


def test_all_views_go_through_all_stages_and_a_new_station_is_scored(spark, settings, draw):
    ingest.run(spark, settings)
    featurize.run(spark, settings)
    assert train.run(spark, settings).read == 80
    version, tables = Tracking.of(settings).champion(), Tables.of(spark, settings)
    whole = feature_id(changed(settings, "featurize", views=["whole"]))
    assert version.tags["backbone"] == f"{whole}+{whole}/motion1+{whole}/motion_statistics1"
    draw(station_images(3, range(20), is_animal=in_turn))
    ingest.run(spark, settings)
    with pytest.raises(DataError, match=r"--set featurize\.views=whole,motion,motion_statistics"):
        score.run(spark, settings)
    featurize.run(spark, settings)
    assert score.run(spark, settings).written == 100
    new = tables.read("predictions").where(F.col("path").contains("/S3/"))
    rows = new.select("prediction", F.col("path").contains("/animal/").alias("is_animal")).collect()
    correct = sum((row["prediction"] == "animal") == row["is_animal"] for row in rows)
    assert (len(rows), correct >= 18) == (20, True)
    alone = changed(settings, "featurize", views=["whole"])
    with pytest.raises(
        ModelError, match=r"\(--backbone irbis_tiny --set featurize.views=whole,motion,motion_statistics, the same"
    ):
        require_backbone(alone)
    require_backbone(settings)
