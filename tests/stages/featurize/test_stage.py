from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.errors import DataError
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.featurize.stage import featurize_udf
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import MIXED, changed, jpeg


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def settings(mixed):
    return mixed


def test_every_content_gets_one_row_with_the_features_of_its_bytes(spark, settings, single_precision):
    result = featurize.run(spark, settings)
    assert (result.read, result.written, result.failures) == (4, 2, {"empty": 1, "truncated": 1})
    table = Tables.of(spark, settings).read("features")
    found = {row["content_hash"]: row for row in table.collect()}
    assert len(found) == table.count() == 4
    expected = load_backbone("irbis_tiny").embed([MIXED["a.jpg"], MIXED["c.jpg"]])
    hashes = {row["path"][-5:]: row["content_hash"] for row in Tables.of(spark, settings).latest_images().collect()}
    for name, embedding in zip(("a.jpg", "c.jpg"), expected, strict=True):
        np.testing.assert_allclose(found[hashes[name]]["features"], embedding.features, atol=1e-5)
    assert hashes["a.jpg"] == hashes["d.jpg"]
    assert (found[hashes["b.jpg"]]["features"], found[hashes["b.jpg"]]["failure"]) == (None, "empty")
    assert (found[hashes["e.jpg"]]["features"], found[hashes["e.jpg"]]["failure"]) == (None, "truncated")


def test_what_only_decoding_finds_broken_is_counted_with_its_reason(spark, make_settings, draw):
    whole = png(48, 36)
    broken = whole.replace(b"IDAT", b"IDAT\0\0\0\0", 1)[: len(whole)]
    chosen = make_settings({"sources.images": str(draw({"a.png": whole, "b.png": broken})), "sources.labels": "none"})
    assert ingest.run(spark, chosen).failures == {}
    result = featurize.run(spark, chosen)
    assert (result.read, result.written, result.failures) == (2, 1, {"unreadable": 1})


def test_only_what_a_backbone_lacks_is_computed(spark, settings, make_settings, draw):
    featurize.run(spark, settings)
    assert featurize.run(spark, settings).read == 0
    draw({"new.jpg": jpeg(200, 9)})
    ingest.run(spark, settings)
    assert featurize.run(spark, settings).read == 1
    padded = settings.model_copy(update={"images": settings.images.model_copy(update={"resize_mode": "pad"})})
    assert featurize.run(spark, padded).read == 5  # another preprocessing is another backbone
    counts = Tables.of(spark, settings).read("features").groupBy("backbone").count().collect()
    assert sorted(row["count"] for row in counts) == [5, 5]


def test_several_commits_give_the_same_rows_as_one(spark, settings):
    assert featurize.run(spark, changed(settings, "featurize", images_per_commit=1)).read == 4
    tables = Tables.of(spark, settings)
    assert tables.read("features").select("content_hash").distinct().count() == 4
    assert tables.version("features") == 3


def test_late_images_in_several_commits_all_get_their_features(spark, settings, draw):
    featurize.run(spark, settings)
    draw({f"late{n}.jpg": jpeg(150, 50 + n) for n in range(4)})
    ingest.run(spark, settings)
    assert featurize.run(spark, changed(settings, "featurize", images_per_commit=1)).read == 4
    tables = Tables.of(spark, settings)
    assert tables.read("features").count() == tables.read("features").select("content_hash").distinct().count() == 8
    assert tables.version("features") == 4


def test_the_udf_for_notebooks_gives_arrays_and_null_for_bad_images(spark, settings, single_precision):
    images = Tables.of(spark, settings).read("images").orderBy("path")
    found = [row[0] for row in images.select(featurize_udf("irbis_tiny")("content")).collect()]
    (expected,) = load_backbone("irbis_tiny").embed([MIXED["c.jpg"]])
    np.testing.assert_allclose(found[2], expected.features, atol=1e-5)
    assert [each is None for each in found] == [False, True, False, False, True]
    assert images.select(F.size(featurize_udf("irbis_tiny")("content"))).first()[0] == len(expected.features)


def test_without_images_the_error_says_what_to_run(spark, make_settings):
    with pytest.raises(DataError, match="`irbis ingest --images DIR`"):
        featurize.run(spark, make_settings())
