"""Unity Catalog allows no dots in version tags, and few characters: tags are stored on the version's run instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.tracking.mlflow_client import Tracking


def test_on_unity_catalog_a_version_is_registered_tagged_and_read_without_tags_of_its_own(spark, settings, monkeypatch):
    of = Tracking.of
    monkeypatch.setattr(Tracking, "of", lambda chosen: replace(of(chosen), on_catalog=True))
    assert train.run(spark, settings).outcome.startswith("irbis/1 is champion")
    tracking = Tracking.of(settings)
    assert tracking.client.get_model_version("irbis", "1").tags == {}
    champion = tracking.champion()
    assert champion.classes == ["plain", "striped"]
    assert champion.tags["gate"] == "is champion: the first version"
    assert tracking.versions() == [champion]
    assert train.run(spark, settings).written == 0  # known by the fingerprint on its run


@pytest.mark.parametrize("on_catalog", [True, False])
def test_a_tag_that_is_too_long_for_mlflow_is_read_from_a_file_of_the_run(spark, settings, monkeypatch, on_catalog):
    of = Tracking.of
    monkeypatch.setattr(Tracking, "of", lambda chosen: replace(of(chosen), on_catalog=on_catalog))
    monkeypatch.setattr(
        ReviewPolicy, "to_json", lambda decision, whole=ReviewPolicy.to_json: whole(decision) + 10_000 * " "
    )
    assert train.run(spark, settings).outcome.startswith("irbis/1 is champion")
    tracking = Tracking.of(settings)
    champion = tracking.champion()
    run = tracking.client.get_run(champion.run_id)
    assert run.data.tags["irbis.review_policy"] == "file: tags/review_policy.txt"
    assert len(champion.tags["review_policy"]) > 10_000
    assert ReviewPolicy.from_json(champion.tags["review_policy"]).classes_of_interest == ("plain", "striped")
    assert score.run(spark, settings).written > 0
    changed = replace(ReviewPolicy.from_json(champion.tags["review_policy"]), max_weight=0.75)
    tracking.tag(champion, review_policy=changed.to_json())
    assert ReviewPolicy.from_json(tracking.champion().tags["review_policy"]) == changed


def test_only_unity_catalog_is_taken_for_one(settings):
    assert not Tracking.of(settings).on_catalog
    chosen = settings.tracking.model_copy(update={"registry_uri": "databricks-uc"})
    assert Tracking.of(settings.model_copy(update={"tracking": chosen})).on_catalog
