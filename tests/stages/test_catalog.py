"""Unity Catalog takes no dots in the tags of a version, and few characters: there they stand on the version's run."""

from __future__ import annotations

from dataclasses import replace

from pipelines.platform.tracking import Tracking
from pipelines.stages import train


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


def test_only_unity_catalog_is_taken_for_one(settings):
    assert not Tracking.of(settings).on_catalog
    chosen = settings.tracking.model_copy(update={"registry_uri": "databricks-uc"})
    assert Tracking.of(settings.model_copy(update={"tracking": chosen})).on_catalog
