"""Label, station and time of every listed image."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pipelines.config.settings import Sources
from pipelines.errors import DataError
from pipelines.sources.listing import Listing, list_images
from pipelines.sources.stores.folder import Folder
from pipelines.spark.runtime import sql_conf
from pipelines.workspace.tables import Tables

FILES = (
    "1.jpg",
    "S1/2.JPG",
    "S1/cat/3.jpeg",
    "S2/cat/deep/4.png",
    "S2/5.jpg",
    "S2/.5.jpg",
    "S2/@eaDir/4.png/SYNOPHOTO_THUMB_M.jpg",
    "_6.jpg",
    "S1/notes.txt",
    "README",
    "jpg",
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def listed(spark: Any, folder: Path, labels: str = "none", station: str = "none", case: str = "refuse") -> Listing:
    extensions = ["jpg", ".JPEG", "png"]
    rules = Sources(
        dataset=None, images=None, labels=labels, columns={}, station=station, extensions=extensions, label_case=case
    )
    return list_images(Tables(spark, str(folder / "workspace")), Folder(str(folder)), rules)


def values_by_path(listing: Listing, *columns: str) -> dict[str, Any]:
    """Return {relative path: value of the column}; a tuple of values for several columns."""
    found = {}
    for row in listing.files.collect():
        values = tuple(row[column] for column in columns)
        found[row["path"].split("/images/")[1]] = values[0] if len(values) == 1 else values
    return found


def write(folder: Path, text: str) -> str:
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return str(folder / "labels.csv")


def test_folders_say_label_and_station_and_other_files_are_counted(spark, images):
    listing = listed(spark, images, "folder", "folder:1")
    assert values_by_path(listing, "label", "station", "size", "says_label") == {
        "1.jpg": (None, None, 1, True),
        "_6.jpg": (None, None, 1, True),
        "S1/2.JPG": ("S1", "S1", 1, True),
        "S2/5.jpg": ("S2", "S2", 1, True),
        "S1/cat/3.jpeg": ("cat", "S1", 1, True),
        "S2/cat/deep/4.png": ("deep", "S2", 1, True),
    }
    assert listing.count == 6
    assert str(listing.skipped_files) == (
        "5 files: 2 files without a suffix, 1 metadata or text file (txt), 1 file in system folders (@eaDir), "
        "1 system or hidden file (.*)"
    )
    assert listing.files.columns == [
        *("path", "size", "modified_at", "etag", "named_time", "file_series", "file_number"),
        *("label", "station", "camera", "captured_at", "sequence", "says_label"),
    ]


DEEP = "S2/cat/deep/4.png"


def test_names_that_look_the_same_are_one_class(spark, tmp_path):
    composed, decomposed = "Jaguaré", unicodedata.normalize("NFD", "Jaguaré")
    for folder, name in ((composed, "1.jpg"), (decomposed, "2.jpg")):
        (tmp_path / "images" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / folder / name).write_bytes(b"x")
    by_folder = values_by_path(listed(spark, tmp_path / "images", "folder", "folder:1"), "label", "station")
    assert by_folder == {f"{composed}/1.jpg": (composed, composed), f"{decomposed}/2.jpg": (composed, composed)}
    file = write(tmp_path, f"path,label\n{decomposed}/1.jpg,a\n{composed}/2.jpg,b\n")
    assert values_by_path(listed(spark, tmp_path / "images", file), "label") == {
        f"{composed}/1.jpg": "a",
        f"{decomposed}/2.jpg": "b",
    }


def test_labels_of_windows_find_their_images(spark, images, tmp_path):
    file = write(tmp_path, "path,label\nC:\\x\\S1\\2.JPG,cat\nC:\\x\\S2\\cat\\deep\\4.png,dog\n")
    listing = listed(spark, images, file)
    labels = values_by_path(listing, "label")
    assert {path: label for path, label in labels.items() if label} == {"S1/2.JPG": "cat", DEEP: "dog"}
    assert len(labels) == 6
    (note,) = listing.notes
    assert "; 2 of 6 images have a label, " in note and note.endswith(": C:/x.")


def test_a_labels_file_tells_station_camera_time_and_sequence(spark, images, tmp_path):
    file = write(
        tmp_path,
        "path,label,station,camera,datetime,seq_id\nS2/5.jpg,None,S9,c1,2014:07:01 15:22:09,7\nS1/2.JPG,,,,,\n",
    )
    listing = listed(spark, images, file, "folder:1")
    names = listing.files.selectExpr("*", "unix_timestamp(captured_at) as seconds")
    columns = ("label", "station", "camera", "seconds", "sequence", "says_label")
    found = values_by_path(replace(listing, files=names), *columns)
    assert found["S2/5.jpg"] == ("None", "S9", "c1", 1404228129, "7", True)
    assert found["S1/2.JPG"] == (None, "S1", None, None, None, True)
    assert found[DEEP] == (None, "S2", None, None, None, True)


def test_a_labels_file_that_is_there_and_not_used_is_named(spark, images):
    (images / "species.csv").write_text("file,species\nsurvey/S1/2.JPG,fox\n")
    (images / "stations.csv").write_text("station,lat,lon\nS1,1,2\n")
    listing = listed(spark, images, "folder")
    *notes, nested = listing.notes
    assert "(S1/cat, S2/cat/deep)" in nested
    assert notes == [
        "2 of 6 images have no label: they are not in a folder that sources.labels = folder selects.",
        "species.csv is not used: labels are taken from folder names (sources.labels = folder). To use it: "
        f"--labels {images}/species.csv.",
    ]
    assert listed(spark, images, "none").notes == ()


def test_without_labels_a_listing_has_no_say_in_them(spark, images):
    assert set(values_by_path(listed(spark, images), "says_label").values()) == {False}


def test_an_empty_folder_gives_no_rows(spark, tmp_path):
    (tmp_path / "images").mkdir()
    listing = listed(spark, tmp_path / "images", write(tmp_path, "path,label\n1.jpg,cat\n"), "folder:1")
    assert (listing.count, listing.files.count()) == (0, 0)


def test_a_clock_that_is_far_off_does_not_stop_a_listing(spark, images):
    os.utime(images / "1.jpg", (2**34, 2**34))  # year 2514: pandas counts nanoseconds up to 2262
    os.utime(images / "_6.jpg", (-86400, -86400))
    years = listed(spark, images).files.selectExpr("path", "year(modified_at) as year")
    found = {row["path"].rpartition("/")[2]: row["year"] for row in years.collect()}
    assert (found["1.jpg"], found["_6.jpg"]) == (None, 1969)


def test_what_irbis_wrote_into_a_workspace_is_not_listed(spark, images):
    for name in ("artifacts/ab/plots/confusion.png", "sample/3.jpg", "tables/images/_delta_log/0.json", "cat/4.jpg"):
        (images / "workspace" / name).parent.mkdir(parents=True, exist_ok=True)
        (images / "workspace" / name).write_bytes(b"x")
    listing = listed(spark, images)
    assert {name for name in values_by_path(listing, "size") if name.startswith("workspace")} == {"workspace/cat/4.jpg"}
    assert listing.skipped_files.total == 5


LEOPARDS = ("leopard/1.jpg", "leopard/2.jpg", "Leopard/3.jpg", "leopard\u200b/4.jpg", "\u200b/5.jpg")


@pytest.fixture
def leopards(tmp_path: Path) -> Path:
    for name in LEOPARDS:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    return tmp_path / "images"


@pytest.mark.parametrize(("case", "third"), [("keep", "Leopard"), ("lower", "leopard")])
def test_folders_that_look_the_same_are_one_label(spark, leopards, case, third):
    labels = values_by_path(listed(spark, leopards, "folder", case=case), "label")
    assert labels == dict(zip(LEOPARDS, ["leopard", "leopard", third, "leopard", None], strict=True))


def test_folders_that_differ_in_case_only_are_refused(spark, leopards):
    with pytest.raises(DataError) as raised:
        listed(spark, leopards, "folder")
    assert str(raised.value) == (
        "Labels differ only in upper and lower case: 'Leopard' (1 images) and 'leopard' (3 images). Give each class "
        "one spelling, or set sources.label_case=lower (keep: they are classes of their own)."
    )


def test_labels_of_a_file_are_compared_in_the_same_form(spark, leopards, tmp_path):
    told_labels = ("snow leopard", " snow\u00a0 leopard", "Snow Leopard", "snow\u200b leopard\ufeff", "\u200b")
    rows = (f"{path},{label}\n" for path, label in zip(LEOPARDS, told_labels, strict=True))
    file = write(tmp_path, "path,label\n" + "".join(rows))
    with pytest.raises(DataError, match=r"'Snow Leopard' \(1 images\) and 'snow leopard' \(3 images\)"):
        listed(spark, leopards, file)
    labels = values_by_path(listed(spark, leopards, file, case="lower"), "label")
    assert labels == dict.fromkeys(LEOPARDS[:4], "snow leopard") | {LEOPARDS[4]: None}


def test_names_that_come_in_portions_make_one_table(spark, images, monkeypatch):
    whole = values_by_path(listed(spark, images, "folder", "folder:1"), "label", "station", "size")
    monkeypatch.setattr("pipelines.sources.listing.CHUNK_SIZE", 2)
    listing = listed(spark, images, "folder", "folder:1")
    assert listing.count == len(whole) == 6
    assert values_by_path(listing, "label", "station", "size") == whole


def test_stations_and_labels_of_a_file_that_may_be_the_same_are_reported(spark, images, tmp_path):
    labels = write(tmp_path, "path,label,station\n1.jpg,red fox,S1\nS1/2.JPG,red_fox,S 1\nS2/5.jpg,hare,S2\n")
    *_, for_labels, for_stations = listed(spark, images, labels).notes
    assert for_labels.endswith(": 'red fox' and 'red_fox'.") and for_stations.endswith(": 'S 1' and 'S1'.")


def test_images_without_a_file_number_are_listed_where_arrow_is_off(spark, images):
    """On a cluster whose Spark does not use Arrow, pandas' NaN is no number of a column of integers."""
    for name in ("a.jpg", "20240501_143002.jpg"):
        (images / name).touch()
    with sql_conf(spark, spark__sql__execution__arrow__pyspark__enabled=False):
        found = values_by_path(listed(spark, images), "file_number", "named_time")
    assert (found["a.jpg"], found["S1/2.JPG"]) == ((None, None), (2, None))
    _, moment = found["20240501_143002.jpg"]
    assert moment.timestamp() == datetime(2024, 5, 1, 14, 30, 2, tzinfo=timezone.utc).timestamp()
