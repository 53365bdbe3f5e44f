from __future__ import annotations

import io
import json
import shutil
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import functions as F

from pipelines.backbones import backbones_from_settings
from pipelines.errors import DataError, ModelError
from pipelines.evaluation.burst_vote import aggregate_burst
from pipelines.evaluation.review_policy import OperatingPoint, ReviewPolicy
from pipelines.reports.collect import collect_inputs
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.ingest.removals import removed_rows
from pipelines.stages.score import stage as score
from pipelines.stages.score.stage import require_backbone
from pipelines.stages.train import stage as train
from pipelines.stages.train import training_data
from pipelines.status import collect_status
from pipelines.tracking.mlflow_client import EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg

STAGES = (ingest, featurize, score)


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
    assert result.notes == ("3 predictions were replaced: their bursts gained or lost frames.",)
    predictions = tables.read("predictions")
    assert predictions.count() == 182
    assert predictions.groupBy("path").count().where("count > 1").count() == 0
    burst = predictions.where("path like '%000\\_9.jpg'").first()["burst_id"]
    assert predictions.where(F.col("burst_id") == burst).count() == 4
    path.unlink()


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
    assert (result.read, result.notes) == (2, ("2 predictions were replaced: their bursts gained or lost frames.",))
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


def test_backbones_side_by_side_go_through_all_stages_under_one_name(spark, settings):
    joined = changed(settings, "featurize", backbone="irbis_tiny+raw_pixels")
    assert collect_status(spark, joined)["missing"]["featurize"] == 181
    with pytest.raises(DataError, match="no rows with a label and features"):
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


def test_a_image_that_was_too_large_is_taken_up_when_the_limit_is_raised(spark, trained, draw):
    big = io.BytesIO()
    Image.new("RGB", (80, 60), (120, 130, 90)).save(big, "JPEG")
    narrow = changed(trained, "sources", images=str(draw({"S0/plain/big.jpg": big.getvalue()}, "late")))
    narrow = changed(narrow, "images", max_megapixels=0.002)
    tables = Tables.of(spark, trained)

    def run_all(settings):
        return [(result.read, result.failed) for result in (stage.run(spark, settings) for stage in STAGES)]

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


def test_a_second_model_in_the_same_workspace_is_scored_beside_the_first(spark, trained):
    score.run(spark, trained)
    other = changed(trained, "tracking", model="leopards")
    train.run(spark, other)
    assert score.run(spark, other).outcome == "with leopards/1"
    counted = Tables.of(spark, other).read("predictions").groupBy("model_name").count().collect()
    assert {row["model_name"]: row["count"] for row in counted} == {"irbis": 181, "leopards": 181}
    assert score.run(spark, trained).read == 0
