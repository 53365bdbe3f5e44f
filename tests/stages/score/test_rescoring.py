"""What is scored again: bursts that lost frames, images read again, another registry."""

from __future__ import annotations

import io
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import functions as F

from pipelines.errors import ModelError
from pipelines.reports.collect import collect_inputs
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.ingest.removals import removed_rows
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.status import collect_status
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed

REPLACED = "{} replaced: their bursts gained or lost frames, or the settings of needs_review changed."


def test_a_changed_review_setting_holds_for_all_images(spark, trained):
    score.run(spark, trained)
    tables = Tables.of(spark, trained)
    all_reviewed = changed(trained, "score", review_threshold=1.0)
    assert collect_status(spark, all_reviewed)["missing"]["score"] == 181
    result = score.run(spark, all_reviewed)
    assert (result.read, result.notes) == (181, (REPLACED.format("181 predictions"),))
    rows = tables.read("predictions")
    assert rows.select("review_rule").distinct().collect() == [("recall 0.99 of image, else 1",)]
    assert rows.count() == rows.where("needs_review").count() == 181
    assert score.run(spark, all_reviewed).read == 0


def test_removed_images_leave_predictions_and_counts_and_their_bursts_vote_again(spark, trained):
    score.run(spark, trained)
    tables = Tables.of(spark, trained)
    gone = tables.latest_images().where("path like '%S0/plain/000\\_0.jpg' or path like '%bad.jpg'")
    burst = gone.where("failure is null").first()["burst_id"]
    tables.append("images", removed_rows(gone, datetime.now(timezone.utc)))
    counts = collect_status(spark, trained)
    images, predictions = (counts["tables"][name] for name in ("images", "predictions"))
    assert (images["paths"], images["labelled"], images["failures"]) == (179, 179, {})
    assert (predictions["rows"], predictions["paths"], predictions["failures"]) == (181, 179, {})
    assert counts["missing"]["score"] == 2
    assert collect_inputs(tables, trained, Tracking.of(trained).champion()).files == 179
    before = scores_of(tables, burst)
    result = score.run(spark, trained)
    assert (result.read, result.notes) == (2, (REPLACED.format("2 predictions"),))
    after = scores_of(tables, burst)
    assert len(before) == 3 and len(after) == 2 and set(before) > set(after)
    assert not set(before.values()) & set(after.values())
    assert tables.read("predictions").count() == 179
    version = tables.version("predictions")
    assert score.run(spark, trained).read == 0 and tables.version("predictions") == version


def scores_of(tables, burst):
    """Return {path: score of the burst} of its frames."""
    rows = tables.read("predictions").where(F.col("burst_id") == burst).collect()
    return {row["path"]: row["burst_score"] for row in rows}


def test_a_image_that_was_too_large_is_taken_up_when_the_limit_is_raised(spark, trained, draw):
    big = io.BytesIO()
    Image.new("RGB", (80, 60), (120, 130, 90)).save(big, "JPEG")
    narrow = changed(trained, "sources", images=str(draw({"S0/plain/big.jpg": big.getvalue()}, "late")))
    narrow = changed(narrow, "images", max_megapixels=0.002)
    tables = Tables.of(spark, trained)

    def run_all(settings):
        return [
            (result.read, result.failed)
            for result in (stage.run(spark, settings) for stage in (ingest, featurize, score))
        ]

    def counts():
        names = ("features", "predictions")
        return [(tables.read(name).count(), tables.read(name).where("failure = 'too_large'").count()) for name in names]

    score.run(spark, trained)
    assert run_all(narrow) == [(1, 1)] * 3
    row = tables.latest_images().where("path like '%big.jpg'").first()
    assert (row["failure"], row["width"], row["height"]) == ("too_large", 80, 60)
    assert counts() == [(182, 1), (182, 1)]
    assert run_all(narrow) == [(0, 0)] * 3
    wide = changed(narrow, "images", max_megapixels=0.005)
    assert run_all(wide) == [(1, 0)] * 3
    assert counts() == [(182, 0), (182, 0)]
    assert run_all(wide) == [(0, 0)] * 3


def test_a_new_registry_has_its_own_predictions_although_version_numbers_restart(spark, trained, monkeypatch):
    score.run(spark, trained)
    workspace = Path(trained.workspace).with_name("begun anew")
    shutil.copytree(Path(trained.workspace) / "tables", workspace / "tables")
    other = changed(trained, "train", reg_params=[10.0], elastic_net=1.0)  # all weights zero: one label for all
    other = other.model_copy(update={"workspace": str(workspace)})
    with pytest.raises(ModelError, match="written with model irbis, but MLflow's database has no champion of it"):
        train.run(spark, other)
    monkeypatch.setattr(train, "require_comparable_champion", lambda *_: None)  # as earlier versions trained
    assert train.run(spark, other).outcome.startswith("irbis/1 is champion: the first version")
    version = Tracking.of(other).champion()
    assert collect_inputs(Tables.of(spark, other), other, version).parts["predictions"] == ()
    result = score.run(spark, other)
    assert (result.read, result.written) == (181, 180)
    predictions = Tables.of(spark, other).read("predictions")
    assert predictions.count() == 181
    assert predictions.where("prediction is not null").select("prediction").distinct().count() == 1
    assert score.run(spark, other).read == 0
