"""Several backbones, and flipped images: their rows, and which features are computed again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg


@pytest.fixture
def settings(mixed):
    return mixed


def held(spark, settings):
    """Return {backbone: {content_hash: (features, failure)}} of the whole table."""
    found: dict[str, dict[str, tuple]] = {}
    for row in Tables.of(spark, settings).read("features").collect():
        assert row["content_hash"] not in found.setdefault(row["backbone"], {})
        found[row["backbone"]][row["content_hash"]] = (row["features"], row["failure"])
    return found


@pytest.fixture
def no_worker(spark, monkeypatch):
    """Return a function after whose call no Python worker can start."""
    return lambda: monkeypatch.setattr(spark.sparkContext, "pythonExec", "/there/is/no/python")


def test_backbones_side_by_side_have_rows_of_their_own_and_only_what_a_part_lacks_is_computed(
    spark, settings, draw, no_worker
):
    tiny, pixels = load_backbone("irbis_tiny").feature_id, load_backbone("raw_pixels").feature_id
    featurize.run(spark, settings)
    before = held(spark, settings)[tiny]
    joined = changed(settings, "featurize", backbone="raw_pixels+irbis_tiny")
    result = featurize.run(spark, joined)
    assert (result.read, result.written, result.failures) == (4, 2, {"empty": 1, "truncated": 1})
    assert result.outcome == f"{pixels}+{tiny}"
    both = held(spark, settings)
    assert both[tiny] == before and sorted(both) == sorted([pixels, tiny])
    tables = Tables.of(spark, settings)
    for row in read_features(tables, result.outcome).where("failure is null").collect():
        parts = [both[part][row["content_hash"]][0] for part in (pixels, tiny)]
        assert row["features"] == [*parts[0], *parts[1]] and len(row["features"]) == 3072 + 576
    # Of two new images one lacks one part, the other both: it counts once.
    draw({"new.jpg": jpeg(200, 9)})
    ingest.run(spark, settings)
    assert featurize.run(spark, changed(settings, "featurize", backbone="raw_pixels")).read == 1
    draw({"empty.jpg": b"", "cut.jpg": jpeg(91, 4)[:900]})
    ingest.run(spark, settings)
    result = featurize.run(spark, joined)
    assert (result.read, result.written, result.failures) == (2, 1, {"truncated": 1})
    assert {name: len(rows) for name, rows in held(spark, settings).items()} == {tiny: 6, pixels: 6}
    version = tables.version("features")
    no_worker()
    for again in (joined, settings, changed(settings, "featurize", backbone="irbis_tiny+raw_pixels")):
        assert featurize.run(spark, again).read == 0
    assert tables.version("features") == version


def image(seed: int, is_flipped: bool = False) -> bytes:
    """Return a PNG of the input size of irbis_tiny, so that it is not resized."""
    pixels = np.random.default_rng(seed).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels[:, ::-1] if is_flipped else pixels).save(target, "PNG")
    return target.getvalue()


def test_flipped_images_have_the_features_of_the_image_that_was_flipped_before(
    spark, make_settings, draw, no_worker, single_precision
):
    images = {"a.png": image(1), "b.png": image(2), "cut.png": image(3)[:9000], "none.png": b""}
    settings = make_settings({"sources.images": str(draw(images)), "sources.labels": "none"})
    ingest.run(spark, settings)
    on = changed(settings, "featurize", horizontal_flip=True, backbone="irbis_tiny+raw_pixels")
    result = featurize.run(spark, on)
    assert (result.read, result.written, result.failures) == (4, 2, {"empty": 1, "truncated": 1})
    tiny, pixels = (load_backbone(name) for name in ("irbis_tiny", "raw_pixels"))
    assert result.outcome == f"{tiny.feature_id}+{pixels.feature_id}, and flipped"
    rows = held(spark, settings)
    assert sorted(rows) == sorted(f"{each.feature_id}{end}" for each in (tiny, pixels) for end in ("", "/flipped"))
    assert Tables.of(spark, settings).version("features") == 1  # a commit for each backbone holds both views
    for backbone in (tiny, pixels):
        # Scaling to 32 pixels rounds another way here and there, from the other side and beside Pillow's: one step.
        off = 1e-4 if backbone is tiny else 0.02
        plain, other = rows[backbone.feature_id], rows[f"{backbone.feature_id}/flipped"]
        assert {key: each[1] for key, each in plain.items()} == {key: each[1] for key, each in other.items()}
        expected = backbone.embed([image(1), image(2), image(1, True), image(2, True)])
        near, far = [each.features for each in expected][:2], []
        for key, (features, failure) in plain.items():
            if not failure:
                place = int(np.argmin([np.abs(each - features).max() for each in near]))
                np.testing.assert_allclose(features, near[place], atol=off)
                far.append((place, other[key][0]))
        again = [each.features for each in backbone.embed([image(1, True), image(2, True)])]
        assert sorted(place for place, _ in far) == [0, 1]
        for place, features in far:
            np.testing.assert_allclose(features, again[place], atol=off)
    for plain, other in zip(
        rows[pixels.feature_id].values(), rows[f"{pixels.feature_id}/flipped"].values(), strict=True
    ):
        if not plain[1]:
            columns = np.reshape(plain[0], (3, 32, 32))
            np.testing.assert_array_equal(columns[:, :, ::-1].ravel(), np.array(other[0]))
    no_worker()
    assert (
        featurize.run(spark, on).read == featurize.run(spark, changed(on, "featurize", horizontal_flip=False)).read == 0
    )


def test_with_plain_features_only_the_flipped_ones_are_computed(spark, settings, draw, no_worker):
    featurize.run(spark, settings)
    tables, tiny = Tables.of(spark, settings), load_backbone("irbis_tiny").feature_id
    before = held(spark, settings)[tiny]
    on = changed(settings, "featurize", horizontal_flip=True)
    draw({"new.jpg": jpeg(200, 9)})
    ingest.run(spark, settings)
    result = featurize.run(spark, on)  # of five contents one lacks both views
    assert (result.read, result.written, result.failures) == (5, 3, {"empty": 1, "truncated": 1})
    rows = held(spark, settings)
    assert {key: each for key, each in rows[tiny].items() if key in before} == before
    assert {name: len(each) for name, each in rows.items()} == {tiny: 5, f"{tiny}/flipped": 5}
    tables.delete("features", F.col("backbone") == tiny)
    assert featurize.run(spark, on).read == 5
    again = held(spark, settings)
    assert again[f"{tiny}/flipped"] == rows[f"{tiny}/flipped"]
    for key, (features, failure) in rows[tiny].items():
        assert again[tiny][key][1] == failure
        assert failure or np.allclose(features, again[tiny][key][0], atol=1e-4)
