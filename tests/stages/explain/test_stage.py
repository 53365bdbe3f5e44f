"""The stage on real Spark, with the small survey: its striped images differ from the plain ones everywhere."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError, ModelError
from pipelines.stages.explain import stage as explain
from pipelines.stages.score import stage as score
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed


@pytest.fixture
def scored(spark, trained):
    """Return the settings of a scored workspace."""
    score.run(spark, trained)
    return trained


def boxes(spark, settings):
    return Tables.of(spark, settings).read("boxes").orderBy("path").collect()


def test_each_image_gets_one_row_and_a_repeated_run_adds_none(spark, scored):
    result = explain.run(spark, scored, needs_review=False)
    assert (result.read, result.written, result.failures) == (181, 180, {"not_an_image": 1})
    assert result.outcome == "with irbis/1, up_to_scale"
    rows = boxes(spark, scored)
    assert len(rows) == len({row["content_hash"] for row in rows}) == 181
    bad, *explained = sorted(rows, key=lambda row: row["failure"] is None)
    assert (bad["failure"], bad["x"], bad["label"], bad["method"]) == ("not_an_image", None, None, None)
    predictions = Tables.of(spark, scored).read("predictions")
    predicted = {row["content_hash"]: row["prediction"] for row in predictions.collect()}
    assert all(row["label"] == predicted[row["content_hash"]] for row in explained)
    assert {(row["model_name"], row["model_version"], row["method"]) for row in explained} == {
        ("irbis", "1", "up_to_scale")
    }
    for row in explained:
        assert row["x"] >= 0 and row["y"] >= 0 and row["x"] + row["width"] <= 1 and row["y"] + row["height"] <= 1
        assert row["x"] <= row["peak_x"] <= row["x"] + row["width"] or row["width"] > 0
    again = explain.run(spark, scored, needs_review=False)
    assert (again.read, again.written) == (0, 0)
    assert boxes(spark, scored) == rows


def test_by_default_only_images_that_need_review_are_explained_and_the_rest_is_added_later(spark, scored):
    tables = Tables.of(spark, scored)
    uncertain = tables.read("predictions").where("needs_review").count()
    assert 0 < uncertain < 181
    assert explain.run(spark, scored).read == uncertain
    one = tables.latest_images().where(F.col("path").endswith("/plain/000_0.jpg")).select("path", "content_hash")
    explain.run(spark, scored, one, needs_review=False)
    done = tables.read("boxes").count()
    assert done in (uncertain, uncertain + 1)
    assert explain.run(spark, scored, needs_review=False).read == 181 - done
    assert tables.read("boxes").count() == 181


def test_a_run_that_is_killed_between_commits_ends_with_the_same_rows(spark, scored, monkeypatch):
    small = changed(scored, "featurize", images_per_commit=60)
    append, commits = Tables.append, []

    def append_or_die(self, name, rows, **options):
        if name == "boxes" and len(commits) == 2:
            raise KeyboardInterrupt
        commits.append(name)
        return append(self, name, rows, **options)

    monkeypatch.setattr(Tables, "append", append_or_die)
    with pytest.raises(KeyboardInterrupt):
        explain.run(spark, small, needs_review=False)
    assert len(boxes(spark, scored)) == 120
    monkeypatch.undo()
    assert explain.run(spark, small, needs_review=False).read == 61
    assert len({row["content_hash"] for row in boxes(spark, scored)}) == len(boxes(spark, scored)) == 181


def test_what_has_no_maps_or_is_not_scored_is_refused_with_what_to_do(spark, trained):
    with pytest.raises(DataError, match="irbis score"):
        explain.run(spark, trained)
    score.run(spark, trained)
    with pytest.raises(ModelError, match=r"uses features of irbis_tiny@.*the settings say raw_pixels@"):
        explain.run(spark, changed(trained, "featurize", backbone="raw_pixels"), needs_review=False)


def retrain(spark, settings, version, **features):
    """Return the settings of a further version, which has scored, with other settings of featurize."""
    from pipelines.stages.featurize import stage as featurize
    from pipelines.stages.train import stage as train

    settings = changed(settings, "featurize", **features)
    featurize.run(spark, settings)
    train.run(spark, settings)
    settings = changed(settings, "score", model_version=version)
    score.run(spark, settings)
    return settings


def test_a_version_with_crops_is_explained_as_one_without(spark, scored):
    crops = retrain(spark, scored, "2", views=["whole", "motion"])
    assert Tables.of(spark, crops).read("regions").where("x is not null").head(1)
    result = explain.run(spark, crops, needs_review=False)
    assert (result.read, result.outcome, result.notes) == (181, "with irbis/2, up_to_scale", ())
    explained = [row for row in boxes(spark, crops) if not row["failure"]]
    assert len(explained) == 180 and {row["method"] for row in explained} == {"up_to_scale"}


@pytest.mark.parametrize(
    ("features", "without"),
    [
        ({"backbone": "raw_pixels+irbis_tiny"}, "raw_pixels"),
        ({"views": ["whole", "motion_statistics", "motion"]}, "motion_statistics"),
    ],
)
def test_of_a_version_with_features_that_have_no_maps_the_others_are_explained(spark, scored, features, without):
    joined = retrain(spark, scored, "2", **features)
    result = explain.run(spark, joined, needs_review=False)
    assert (result.read, result.outcome) == (181, "with irbis/2, partial")
    assert result.notes == (f"the boxes show what irbis/2 sees without {without}, whose features have no maps.",)
    assert {row["method"] for row in boxes(spark, joined) if not row["failure"]} == {"partial"}


def test_a_forest_is_explained_by_a_surrogate_and_the_result_says_so(spark, scored):
    from pipelines.stages.train import stage as train

    forest = changed(scored, "train", classifier="random_forest", num_trees=5)
    train.run(spark, forest)
    version = Tracking.of(forest).get_version("2").version
    forest = changed(forest, "score", model_version=version)
    score.run(spark, forest)
    result = explain.run(spark, forest, needs_review=False)
    assert result.outcome == "with irbis/2, surrogate"
    assert "is not linear: the boxes are those of a linear surrogate" in result.notes[0]
    assert {row["method"] for row in boxes(spark, forest) if not row["failure"]} == {"surrogate"}
