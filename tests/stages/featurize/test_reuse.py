"""A view that is added to an existing workspace: what shows the whole image is copied, not computed."""

from __future__ import annotations

import pytest

from pipelines.backbones import load_backbone
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import changed
from .stations import station_images

TINY = load_backbone("irbis_tiny").feature_id


def every_third(i):
    return i % 3 == 0


@pytest.mark.parametrize("flip", [False, True])
def test_only_crops_are_computed_and_the_rest_is_copied(spark, make_settings, draw, monkeypatch, flip):
    folder = draw({**station_images(1, range(12), is_animal=every_third), "S2/blank/bad.jpg": b"\xff\xd8\xff"})
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "folder:1"})
    ingest.run(spark, settings)
    settings = changed(settings, "featurize", horizontal_flip=flip)
    featurize.run(spark, settings)
    computed, compute = [], featurize.compute_features

    def count_images(images, *arguments):
        computed.append(images.count())
        return compute(images, *arguments)

    monkeypatch.setattr(featurize, "compute_features", count_images)
    views = changed(settings, "featurize", views=["whole", "motion"])
    result = featurize.run(spark, views)
    assert (result.read, result.written, result.failed) == (13, 12, 1)
    assert computed == [4]  # images with an animal
    found = {}
    for row in Tables.of(spark, settings).read("features").where("failure is null").collect():
        assert (row["backbone"], row["content_hash"]) not in found
        found[row["backbone"], row["content_hash"]] = (row["features"], row["fallback"])
    ends = ("", "/flipped") if flip else ("",)
    assert len(found) == 12 * 2 * len(ends)
    for end in ends:
        crops = {key: value for key, value in found.items() if key[0] == f"{TINY}/motion1{end}"}
        whole = {key[1]: value[0] for key, value in found.items() if key[0] == f"{TINY}{end}"}
        copied = [value[1] for key, value in crops.items() if value[0] == whole[key[1]]]
        assert copied == ["no_motion"] * 8
        assert [value[1] for key, value in crops.items() if value[0] != whole[key[1]]] == [None] * 4
    assert featurize.run(spark, views).read == 0
