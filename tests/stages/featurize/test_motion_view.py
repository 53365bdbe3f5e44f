"""The view `motion`: where it looks, what stays when images are added, and that whole images are unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.backbones.views import CroppedImage, ViewReader
from pipelines.images.crop import Box
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.featurize import windows
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg
from .stations import HEIGHT, SIDE, WIDTH, place, station_images

TINY = load_backbone("irbis_tiny").feature_id


def every_third(i):
    return i % 3 == 0


@pytest.fixture
def settings(make_settings, draw):
    images = {**station_images(1, range(12), is_animal=every_third), **station_images(2, range(3))}
    folder = draw(images)
    chosen = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "folder:1"})
    return changed(chosen, "featurize", views=["whole", "motion"])


def regions(spark, settings):
    """Return {file name below the folder: row of regions}."""
    tables = Tables.of(spark, settings)
    rows = tables.read("regions").join(tables.latest_images().select("content_hash", "path"), "content_hash")
    found = {"/".join(row["path"].split("/")[-3:]): row.asDict() for row in rows.collect()}
    assert len(found) == tables.read("regions").count()
    return found


def features(spark, settings):
    """Return {(backbone, content_hash): (features, failure, fallback)}."""
    rows = Tables.of(spark, settings).read("features").collect()
    found: dict = {}
    for row in rows:
        assert (row["backbone"], row["content_hash"]) not in found
        found[row["backbone"], row["content_hash"]] = (row["features"], row["failure"], row["fallback"])
    return found


def test_crops_hold_the_animal_and_images_without_one_say_why_they_are_whole(spark, settings, single_precision):
    ingest.run(spark, settings)
    result = featurize.run(spark, settings)
    assert (result.read, result.written) == (15, 15)
    assert result.outcome == f"{TINY}+{TINY}/motion1"
    assert result.notes == ("motion1 shows the whole image of 11 images: 8 no_motion, 3 few_images.",)
    found = regions(spark, settings)
    for i in (0, 3, 6, 9):
        row, (left, top) = found[f"S1/animal/{i:03}.jpg"], place(i)
        assert (row["view"], row["fallback"], row["background_images"]) == ("motion1", None, 12)
        assert row["x"] * WIDTH <= left and (row["x"] + row["width"]) * WIDTH >= left + SIDE
        assert row["y"] * HEIGHT <= top and (row["y"] + row["height"]) * HEIGHT >= top + SIDE
        assert row["width"] * WIDTH == pytest.approx(row["height"] * HEIGHT) and row["width"] * WIDTH < 80
    assert {row["fallback"] for name, row in found.items() if "S1/blank" in name} == {"no_motion"}
    assert {row["fallback"] for name, row in found.items() if "S2" in name} == {"few_images"}
    # The features are those of the crop; without a crop, those of the whole image.
    stored, backbone = features(spark, settings), load_backbone("irbis_tiny")
    contents = Tables.of(spark, settings).read("images").select("content_hash", "content").collect()
    for content_hash, content in contents:
        row = next(row for row in found.values() if row["content_hash"] == content_hash)
        box = Box(*(row[name] for name in Box._fields)) if row["x"] is not None else None
        item = CroppedImage(bytes(content), [None, box])
        whole, crop = (backbone._compute_reference(ViewReader(backbone)(item)[[i]])[0] for i in (0, 1))
        assert stored[TINY, content_hash][1:] == (None, None)
        np.testing.assert_allclose(stored[TINY, content_hash][0], whole, atol=1e-4)
        np.testing.assert_allclose(stored[f"{TINY}/motion1", content_hash][0], crop, atol=1e-4)
        assert stored[f"{TINY}/motion1", content_hash][2] == row["fallback"]
        assert (box is None) == np.allclose(whole, crop)


def test_new_images_of_a_station_change_neither_stored_crops_nor_features(spark, settings, draw):
    ingest.run(spark, settings)
    featurize.run(spark, settings)
    crops, before = regions(spark, settings), features(spark, settings)
    draw(station_images(1, range(12, 15), is_animal=every_third))
    draw(station_images(2, range(3, 12)))
    ingest.run(spark, settings)
    result = featurize.run(spark, settings)
    assert (result.read, result.written) == (12, 12)
    after, now = features(spark, settings), regions(spark, settings)
    assert {key: after[key] for key in before} == before and len(after) == len(before) + 24
    assert {name: now[name] for name in crops} == crops
    assert now["S1/animal/012.jpg"]["background_images"] == 15  # the located images are its background
    assert {row["background_images"] for name, row in now.items() if name.startswith("S2")} == {3, 12}
    version = Tables.of(spark, settings).version("regions")
    assert featurize.run(spark, settings).read == 0
    assert Tables.of(spark, settings).version("regions") == version


def test_whole_images_keep_ids_and_values_and_only_the_crops_are_added(spark, settings):
    ingest.run(spark, settings)
    alone = changed(settings, "featurize", views=["whole"])
    assert featurize.run(spark, alone).outcome == TINY
    before = features(spark, settings)
    assert {backbone for backbone, _ in before} == {TINY}
    assert featurize.run(spark, settings).read == 15
    after = features(spark, settings)
    assert {key: after[key] for key in before} == before
    Tables.of(spark, settings).delete("features", F.lit(True))
    featurize.run(spark, settings)  # both from one decoding
    again = features(spark, settings)
    assert again.keys() == after.keys()
    for key, (values, *reasons) in after.items():
        assert again[key][1:] == tuple(reasons)
        np.testing.assert_allclose(again[key][0], values, atol=1e-5)


def test_a_run_killed_after_a_commit_of_crops_goes_on_and_finds_the_same(spark, settings, monkeypatch):
    ingest.run(spark, settings)
    small = changed(settings, "featurize", images_per_commit=5)
    featurize.run(spark, small)
    expected = {name: {**row, "located_at": None} for name, row in regions(spark, small).items()}
    values = features(spark, small)
    tables = Tables.of(spark, small)
    assert tables.version("regions") == 1  # a commit for each station
    tables.delete("features", F.lit(True))
    tables.delete("regions", F.lit(True))
    append, killers = Tables.append, ["regions", "features"]

    def kill_after(self, name, rows, **options):
        append(self, name, rows, **options)
        if name == killers[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tables, "append", kill_after)
        while killers:
            with pytest.raises(KeyboardInterrupt):
                featurize.run(spark, small)
            killers.pop(0)
    featurize.run(spark, small)
    assert {name: {**row, "located_at": None} for name, row in regions(spark, small).items()} == expected
    assert features(spark, small) == values


def test_images_without_station_and_camera_are_whole_and_unreadable_ones_fail(spark, settings, draw):
    unplaced = changed(settings, "sources", station="none")
    draw({"S1/blank/cut.jpg": jpeg(91, 4)[:900], "S1/blank/empty.jpg": b""})
    ingest.run(spark, unplaced)
    result = featurize.run(spark, unplaced)
    assert result.failures == {"truncated": 1, "empty": 1}
    assert "motion1 shows the whole image of 16 images: 16 no_station." in result.notes
    rows = features(spark, unplaced)
    assert {each[2] for key, each in rows.items() if key[0] != TINY and each[0]} == {"no_station"}
    assert sum(each[1] is not None for each in rows.values()) == 4
    assert all(each[2] is None for each in rows.values() if each[1])


def test_a_station_of_many_images_is_cut_into_windows_of_equal_size(spark, settings, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_IMAGES", 9)
    ingest.run(spark, settings)
    featurize.run(spark, settings)
    assert {row["background_images"] for name, row in regions(spark, settings).items() if "S1" in name} == {6}
    tables = Tables.of(spark, settings)
    new = tables.latest_images().where("station = 'S1' and path like '%011.jpg'").select("content_hash")
    rows = windows.camera_windows(tables, new, 100).orderBy("captured_at").collect()
    assert [row["path"][-7:-4] for row in rows] == [f"{i:03}" for i in range(6, 12)]
    assert [row["is_new"] for row in rows] == [False] * 5 + [True]


def test_flips_of_crops_are_crops_of_flipped_images(spark, settings):
    ingest.run(spark, settings)
    on = changed(settings, "featurize", horizontal_flip=True, backbone="raw_pixels")
    featurize.run(spark, on)
    stored = features(spark, on)
    pixels = load_backbone("raw_pixels").feature_id
    ids = [f"{pixels}{view}{flip}" for view in ("", "/motion1") for flip in ("", "/flipped")]
    assert sorted({backbone for backbone, _ in stored}) == sorted(ids)
    for content_hash in {key[1] for key in stored}:
        for view in ids[::2]:
            both = (stored[f"{view}{end}", content_hash][0] for end in ("", "/flipped"))
            plain, other = (np.reshape(values, (3, 32, 32)) for values in both)
            np.testing.assert_array_equal(plain[:, :, ::-1], other)
