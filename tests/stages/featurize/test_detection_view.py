"""The view `detection`: which box it shows, and that newer detections replace features."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.backbones.views import CroppedImage, ViewReader
from pipelines.images.crop import Box
from pipelines.localisation.squares import square_around
from pipelines.schemas import DETECTIONS, parse_ddl
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.status import collect_status
from pipelines.workspace.tables import Tables

from ..conftest import changed
from .stations import HEIGHT, WIDTH, station_images

TINY = load_backbone("irbis_tiny").feature_id
CROP = f"{TINY}/detection1"
PAST = datetime.now(timezone.utc) - timedelta(days=1)
ANIMAL, PERSON = (0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.2, 0.2)


@pytest.fixture
def settings(spark, make_settings, draw):
    folder = draw(station_images(1, range(5)))
    chosen = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "folder:1"})
    ingest.run(spark, chosen)
    return changed(chosen, "featurize", views=["whole", "detection"])


def import_boxes(spark, settings, boxes, at=PAST):
    """Store {image: [(category, score, box)]}; an image without boxes has a row that says so."""
    tables, kinds = Tables.of(spark, settings), parse_ddl(DETECTIONS)
    hashes = {row["path"][-7:-4]: row["content_hash"] for row in tables.latest_images().collect()}
    rows = []
    for image, found in boxes.items():
        for number, (category, score, box) in enumerate(found):
            rows.append((hashes[image], number, category, score, *box, at))
        if not found:
            rows.append((hashes[image], -1, None, None, None, None, None, None, at))
    names = ("content_hash", "number", "category", "score", *Box._fields, "imported_at")
    frame = spark.createDataFrame(rows, ", ".join(f"{name} {kinds[name]}" for name in names))
    rest = [F.lit(None).cast(kind).alias(name) for name, kind in kinds.items() if name not in names]
    tables.append("detections", frame.select("*", *rest))


def crops(spark, settings):
    """Return {image: (box, fallback)} of the newest regions."""
    tables = Tables.of(spark, settings)
    rows = tables.read("regions").join(tables.latest_images().select("content_hash", "path"), "content_hash")
    found = {}
    for row in rows.orderBy("located_at").collect():
        box = Box(*(row[name] for name in Box._fields)) if row["x"] is not None else None
        found[row["path"][-7:-4]] = (box, row["fallback"])
    return found


def features(spark, settings):
    """Return {(backbone, image): (features, fallback)}."""
    tables = Tables.of(spark, settings)
    rows = tables.read("features").join(tables.latest_images().select("content_hash", "path"), "content_hash")
    found: dict = {}
    for row in rows.collect():
        key = row["backbone"], row["path"][-7:-4]
        assert key not in found
        found[key] = (row["features"], row["fallback"])
    return found


def square(box):
    return square_around(Box(*box), WIDTH, HEIGHT)


def test_the_most_certain_animal_is_cropped_else_the_most_certain_box(spark, settings, single_precision):
    boxes = {
        "000": [("person", 0.9, PERSON), ("animal", 0.3, ANIMAL), ("animal", 0.2, PERSON)],
        "001": [("animal", 0.05, ANIMAL), ("person", 0.4, PERSON)],
        "002": [("animal", 0.05, ANIMAL)],
        "003": [],
    }
    import_boxes(spark, settings, boxes)
    result = featurize.run(spark, settings)
    assert (result.read, result.written, result.outcome) == (5, 5, f"{TINY}+{CROP}")
    assert result.notes == ("detection1 shows the whole image of 3 images: 3 no_detection.",)
    none = (None, "no_detection")
    found = crops(spark, settings)
    assert found == {
        "000": (square(ANIMAL), None),
        "001": (square(PERSON), None),
        "002": none,
        "003": none,
        "004": none,
    }
    backbone = load_backbone("irbis_tiny")
    stored = features(spark, settings)
    for path, content in Tables.of(spark, settings).read("images").select("path", "content").collect():
        box, fallback = found[path[-7:-4]]
        pixels = ViewReader(backbone)(CroppedImage(bytes(content), [box]))
        np.testing.assert_allclose(
            stored[CROP, path[-7:-4]][0], backbone._compute_reference(pixels[None])[0], atol=1e-4
        )
        assert stored[CROP, path[-7:-4]][1] == fallback


def test_newer_detections_replace_the_features_of_their_images_only(spark, settings):
    import_boxes(spark, settings, {"000": [("animal", 0.9, ANIMAL)], "001": [("animal", 0.9, ANIMAL)]})
    featurize.run(spark, settings)
    before = features(spark, settings)
    assert featurize.run(spark, settings).read == 0
    later = PAST + timedelta(hours=1)
    import_boxes(spark, settings, {"001": [("animal", 0.8, PERSON)], "002": [("animal", 0.9, ANIMAL)]}, later)
    assert collect_status(spark, settings)["missing"]["featurize"] == 2
    assert featurize.run(spark, changed(settings, "featurize", views=["whole"])).read == 0
    assert featurize.run(spark, settings).read == 2
    after = features(spark, settings)
    moved = {(CROP, "001"), (CROP, "002")}
    assert after.keys() == before.keys()
    assert {key for key in after if after[key] != before[key]} == moved
    assert crops(spark, settings)["001"] == (square(PERSON), None)
    assert featurize.run(spark, settings).read == 0


def test_a_run_killed_between_new_crops_and_their_features_goes_on(spark, settings, monkeypatch):
    featurize.run(spark, settings)
    import_boxes(spark, settings, {"001": [("animal", 0.9, ANIMAL)]})
    upsert = Tables.upsert

    def kill(self, *arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tables, "upsert", kill)
        with pytest.raises(KeyboardInterrupt):
            featurize.run(spark, settings)
    assert Tables.upsert is upsert and crops(spark, settings)["001"][0] == square(ANIMAL)
    assert features(spark, settings)[CROP, "001"][1] == "no_detection"
    assert featurize.run(spark, settings).read == 1
    assert features(spark, settings)[CROP, "001"][1] is None


def test_a_table_of_an_earlier_version_gets_its_column_when_rows_are_replaced(spark, settings):
    featurize.run(spark, settings)
    tables = Tables.of(spark, settings)
    old = tables.read("features").drop("fallback")
    location = tables.location("features")
    tables.materialize(old).write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(location)
    assert "fallback" not in spark.read.format("delta").load(location).columns
    import_boxes(spark, settings, {"001": []})
    assert featurize.run(spark, settings).read == 1
    found = spark.read.format("delta").load(location).where("fallback is not null").collect()
    assert [(row["backbone"], row["fallback"]) for row in found] == [(CROP, "no_detection")]
