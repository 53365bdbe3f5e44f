from __future__ import annotations

import json
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.errors import ModelError
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.score import stage as score
from pipelines.stages.score.stage import require_backbone
from pipelines.stages.train import stage as train
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg


def test_every_current_image_gets_one_prediction_and_its_burst_one_vote(spark, settings):
    trained = changed(settings, "train", burst_aggregation="mean")
    train.run(spark, trained)
    result = score.run(spark, trained)
    assert (result.read, result.written, result.failures) == (181, 180, {"not_an_image": 1})
    table = Tables.of(spark, trained).read("predictions")
    rows = [row.asDict() for row in table.collect()]
    assert len({row["path"] for row in rows}) == len(rows) == 181
    (bad,) = [row for row in rows if row["failure"]]
    assert (bad["prediction"], bad["score"], bad["burst_prediction"], bad["needs_review"]) == (None, None, None, True)
    bursts: dict[str, list[dict]] = {}
    for row in rows:
        if not row["failure"]:
            assert row["score"] == max(row["probabilities"].values())
            assert row["probabilities"][row["prediction"]] == row["score"]
            bursts.setdefault(row["burst_id"], []).append(row)
    assert sorted(map(len, bursts.values())) == [3] * 60
    for frames in bursts.values():
        mean = {name: np.mean([row["probabilities"][name] for row in frames]) for name in ("plain", "striped")}
        vote = max(mean, key=mean.get)
        assert {row["burst_prediction"] for row in frames} == {vote}
        assert frames[0]["burst_score"] == pytest.approx(mean[vote])
        assert frames[0]["needs_review"] == (mean[vote] < trained.score.review_threshold)


def test_a_second_scoring_writes_nothing_and_a_late_frame_only_touches_its_burst(spark, trained):
    score.run(spark, trained)
    tables = Tables.of(spark, trained)
    version = tables.version("predictions")
    assert score.run(spark, trained).read == 0
    assert tables.version("predictions") == version
    late = jpeg(91, 999, datetime(2024, 6, 1) + timedelta(seconds=3), "plain")
    path = Path(trained.sources.images) / "S0/plain/000_9.jpg"
    path.write_bytes(late)
    ingest.run(spark, trained)
    featurize.run(spark, trained)
    result = score.run(spark, trained)
    assert result.read == 4
    assert result.notes[0].startswith("3 predictions replaced")
    predictions = tables.read("predictions")
    assert predictions.count() == 182
    assert predictions.groupBy("path").count().where("count > 1").count() == 0
    burst = predictions.where("path like '%000\\_9.jpg'").first()["burst_id"]
    assert predictions.where(F.col("burst_id") == burst).count() == 4
    path.unlink()


def test_features_of_another_backbone_are_refused_in_a_sentence(spark, trained):
    other = changed(trained, "images", resize_mode="pad")
    with pytest.raises(
        ModelError, match=r"Model irbis/1 was trained on features of irbis_tiny@.*squash.*the settings say .*pad"
    ):
        require_backbone(other)
    tables = Tables.of(spark, trained)
    Tracking.of(trained).tag(Tracking.of(trained).champion(), backbone="squeezenet1_1@00000000/squash224-bilinear")
    with pytest.raises(
        ModelError, match=r"table features holds irbis_tiny@.* for 180 images. Featurize with squeezenet1_1"
    ):
        score.run(spark, trained)
    assert not tables.exists("predictions")


def test_without_a_champion_the_error_says_what_to_run(spark, settings):
    with pytest.raises(ModelError, match=r"Model irbis has no champion. Run `irbis train` first"):
        score.run(spark, settings)


def test_of_an_unknown_version_the_error_says_which_there_are(spark, trained):
    with pytest.raises(ModelError, match=r"Model irbis has no version 7. Known: 1"):
        score.run(spark, changed(trained, "score", model_version="7"))


def test_the_registered_model_has_a_signature_and_loads_by_its_alias(spark, trained, tmp_path, monkeypatch):
    tracking = Tracking.of(trained)
    import mlflow

    signature = mlflow.models.get_model_info("models:/irbis@champion").signature
    assert json.loads(signature.to_dict()["inputs"])[0]["name"] == "features"
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    assert tracking.load(tracking.champion()).stages[-2].numClasses == 2
    assert list((tmp_path / "t").iterdir()) == []  # MLflow leaves a copy with every loading
