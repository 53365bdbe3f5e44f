"""The view `motion_statistics`: what is stored, and that nothing else is computed for it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.backbones import load_backbone
from pipelines.feature_ids import featurize_options, region_view, view_names
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.featurize.statistics import COPIES, NEUTRAL
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import changed
from .stations import station_images
from .test_motion_view import every_third, features, regions

TINY = load_backbone("irbis_tiny").feature_id
PART = f"{TINY}/motion_statistics1"


@pytest.fixture
def settings(make_settings, draw):
    images = {**station_images(1, range(12), is_animal=every_third), **station_images(2, range(3))}
    folder = draw({**images, "S1/blank/broken.jpg": b"", "loose.jpg": next(iter(images.values())) + b"\0"})
    chosen = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    chosen = changed(chosen, "sources", station="regex:(?:.*/)?(?P<station>S[0-9])/.*")
    return changed(chosen, "featurize", views=["whole", "motion_statistics"])


def test_statistics_are_added_to_whole_images_that_stay_as_they_are(spark, settings, draw):
    ingest.run(spark, settings)
    featurize.run(spark, changed(settings, "featurize", views=["whole"]))
    whole = features(spark, settings)
    result = featurize.run(spark, settings)
    assert (result.read, result.written, result.failures) == (17, 16, {"empty": 1})
    assert result.outcome == f"{TINY}+{PART}"
    assert result.notes == ("motion_statistics1 has no background for 4 images: 3 few_images, 1 no_station.",)
    found, stored = regions(spark, settings), features(spark, settings)
    assert {key: stored[key] for key in whole} == whole and len(stored) == 2 * len(whole)
    for name, row in found.items():
        values, failure, fallback = stored[PART, row["content_hash"]]
        numbers = np.array(row["statistics"] or NEUTRAL, np.float32)
        np.testing.assert_array_equal(values, np.tile(numbers, COPIES))
        assert (failure, fallback, row["x"]) == (None, row["fallback"], None)
        assert (row["statistics"] is None) == (not name.startswith("S1")) == (fallback is not None)
    animals = [row["statistics"][0] for name, row in found.items() if "S1/animal" in name]
    blanks = [row["statistics"][0] for name, row in found.items() if "S1/blank" in name]
    assert min(animals) > max(blanks) + 0.5
    assert [each for key, each in stored.items() if key[0] == PART and each[1]] == [(None, "empty", None)]
    # Later images change nothing that is stored; a second run has nothing to do.
    draw(station_images(1, range(12, 15), is_animal=every_third))
    ingest.run(spark, settings)
    assert featurize.run(spark, settings).read == 3
    later = features(spark, settings)
    assert {key: later[key] for key in stored} == stored and len(later) == len(stored) + 6
    assert featurize.run(spark, settings).read == 0


def test_flipped_images_have_the_same_statistics_and_joined_backbones_have_them_once(spark, settings):
    joined = changed(settings, "featurize", backbone="irbis_tiny+raw_pixels", horizontal_flip=True)
    joined = changed(joined, "featurize", views=["whole", "motion", "motion_statistics"])
    ingest.run(spark, joined)
    featurize.run(spark, joined)
    stored = features(spark, joined)
    statistics = {backbone for backbone, _ in stored if "motion_statistics1" in backbone}
    assert statistics == {PART, f"{PART}/flipped"}
    for (backbone, content_hash), row in stored.items():
        if backbone == PART:
            assert stored[f"{PART}/flipped", content_hash] == row
    assert Tables.of(spark, joined).read("regions").groupBy("view").count().count() == 2


def test_the_id_says_how_to_compute_it():
    assert view_names(f"{TINY}+{PART}") == ["whole", "motion_statistics"]
    assert featurize_options(f"{TINY}+{PART}").endswith("--set featurize.views=whole,motion_statistics")
    assert region_view("a@1/squash224-bottom0.07/motion_statistics1/flipped") == "motion_statistics1-bottom0.07"
