"""Tables of camera-trap programs, and tables with ambiguous columns."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError
from pipelines.sources.labels import LabelTable, read_label_table


def table_of(folder: Path, *rows: dict[str, Any], **columns: str) -> LabelTable:
    """Write rows, the first of which defines the header, and read them."""
    with open(folder / "t.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return read_label_table(str(folder / "t.csv"), columns=columns)


def values(table: LabelTable, *columns: str) -> list[tuple[Any, ...]]:
    rows = table.rows[list(columns)].astype(object)
    return list(rows.where(rows.notna(), None).itertuples(index=False, name=None))


def refused(folder: Path, text: str, **columns: str) -> list[str]:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_label_table(str(folder / "t.csv"), columns=columns)
    return [fault.removeprefix(f"{folder}/t.csv ") for fault in caught.value.faults]


NAMES = (
    "project_id deployment_id image_id filename location is_blank identified_by wi_taxon_id class order family genus "
    "species common_name uncertainty timestamp number_of_objects license"
)
WILDLIFE = dict.fromkeys(NAMES.split(), "") | {
    "deployment_id": "D1",
    "is_blank": "0",
    "timestamp": "2024-05-01 11:00:00",
    "class": "Mammalia",
}


def test_wildlife_insights_is_read_by_common_name_then_taxon_with_blanks_and_deployments(tmp_path):
    table = table_of(
        tmp_path,
        {**WILDLIFE, "location": "gs://b/d/1.JPG", "genus": "Panthera", "species": "pardus", "common_name": "Leopard"},
        {**WILDLIFE, "location": "gs://b/d/2.JPG", "genus": "Panthera", "species": "pardus"},
        {**WILDLIFE, "location": "gs://b/d/3.JPG", "is_blank": "1"},
        {**WILDLIFE, "location": "gs://b/d/4.JPG", "common_name": "Blank", "filename": "IMG_4.JPG"},
        {**WILDLIFE, "location": "gs://b/d/5.JPG", "common_name": "No CV Result"},
    )
    assert (table.program, table.origins["label"], table.origins["station"]) == (
        "Wildlife Insights",
        "common_name",
        "deployment_id",
    )
    assert [label for (label,) in values(table, "label")] == ["Leopard", "Panthera pardus", "Blank", "Blank", None]
    assert values(table, "path", "path_1", "station")[3] == ("gs://b/d/4.JPG", "D1/IMG_4.JPG", "D1")
    assert str(table.rows["captured_at"][0]) == "2024-05-01 11:00:00+00:00"
    assert table.notes == ("1 rows with the label 'No CV Result' (not identified) are treated as unlabelled.",)


def test_camtrapr_joins_directory_and_file_name(tmp_path):
    row = {
        "": 1,
        "Station": "StationA",
        "Species": "PBE",
        "DateTimeOriginal": "2009-04-21 00:40:00",
        "Date": "2009-04-21",
        "Directory": "C:\\survey\\StationA\\PBE\\",
        "FileName": "StationA__(1).JPG",
    }
    table = table_of(tmp_path, row, {**row, "Station": "NA", "DateTimeOriginal": "NA", "FileName": "2.JPG"})
    assert table.program == "camtrapR"
    assert values(table, "path", "label", "station") == [
        ("C:/survey/StationA/PBE/StationA__(1).JPG", "PBE", "StationA"),
        ("C:/survey/StationA/PBE/2.JPG", "PBE", None),
    ]
    assert list(table.rows["captured_at"].notna()) == [True, False]


def test_timelapse_joins_relative_path_and_file_and_takes_the_label_of_its_template(tmp_path):
    row = {"RootFolder": "2024", "File": "1.JPG", "RelativePath": "S1\\100RECNX", "DateTime": "2024-05-01 11:00:00"}
    table = table_of(tmp_path, {**row, "DeleteFlag": "false", "Species": "paca", "Comment": "x"})
    assert (table.program, table.path_names) == (
        "Timelapse",
        {"path": "RelativePath/File", "path_1": "RootFolder/RelativePath/File"},
    )
    assert values(table, "path", "path_1", "label") == [("S1/100RECNX/1.JPG", "2024/S1/100RECNX/1.JPG", "paca")]
    fault = refused(tmp_path, "File,RelativePath,Species,Category\n1.JPG,S1,paca,animal\n")[0]
    assert fault.startswith("has 2 columns that could be the label: Category or Species.")


def test_camtrap_dp_falls_back_to_the_observation_type(tmp_path):
    row = {"filePath": "S1/1.jpg", "deploymentID": "D1", "eventID": "e1", "timestamp": "2024-05-01T11:00:00+02:00"}
    row |= {"observationType": "animal", "scientificName": "Vulpes vulpes"}
    blank = {**row, "filePath": "S1/2.jpg", "eventID": "e2", "observationType": "blank", "scientificName": ""}
    table = table_of(tmp_path, row, blank, {**blank, "filePath": "S1/3.jpg", "observationType": "unclassified"})
    assert table.program == "Camtrap DP"
    assert values(table, "label", "station") == [("Vulpes vulpes", "D1"), ("blank", "D1"), (None, "D1")]
    assert str(table.rows["captured_at"][0]) == "2024-05-01 11:00:00+00:00"  # the camera's clock, as EXIF has it


@pytest.mark.parametrize(
    ("header", "lacking"),
    [
        ("observationID,mediaID,observationType,scientificName", "filePath"),
        ("mediaID,deploymentID,timestamp,filePath", "scientificName"),
    ],
)
def test_half_of_a_camtrap_dp_package_is_refused_with_the_way_to_join_it(tmp_path, header, lacking):
    (fault,) = refused(tmp_path, f"{header}\na,b,c,d\n")
    assert fault.endswith(
        f"and has no column {lacking}. Give the whole package: its folder, its datapackage.json, or a zip archive of "
        "it."
    )


def test_lila_is_read_by_common_name_then_original_label(tmp_path):
    row = dict.fromkeys(
        ["dataset_name", "image_id", "sequence_id", "original_label", "scientific_name", "common_name"], "x"
    )
    row |= {"url_gcp": "https://h/b/1.jpg", "url_aws": "https://i/1.jpg", "location_id": "S1", "common_name": "fox"}
    empty = {**row, "url_gcp": "https://h/b/2.jpg", "sequence_id": "y", "common_name": "", "original_label": "empty"}
    table = table_of(tmp_path, row, empty)
    assert (table.program, table.path_names) == ("LILA BC", {"path": "url_gcp", "path_1": "url_aws"})
    assert values(table, "label", "station", "sequence") == [("fox", "S1", "x"), ("empty", "S1", "y")]


@pytest.mark.parametrize("species", ["americanus", "Ursus americanus"])
def test_genus_and_species_are_one_name(tmp_path, species):
    bear = {"class": "Mammalia", "genus": "Ursus", "species": species, "file": "1.jpg"}
    hare = {"class": "Mammalia", "genus": "Lepus", "species": "americanus", "file": "2.jpg"}
    table = table_of(tmp_path, bear, hare, {**hare, "genus": "", "species": "blank", "file": "3.jpg"})
    assert values(table, "label") == [("Ursus americanus",), ("Lepus americanus",), ("blank",)]
    assert table.origins == {"label": "genus + species"}


AMBIGUOUS = {
    "category or species": "file,category,species\n1.jpg,animal,fox\n2.jpg,empty,\n",
    "label or species": "path,label,species\n1.jpg,animal,fox\n",
    "species or common_name": "path,species,common_name\n1.jpg,Vulpes vulpes,fox\n",
    "genus + species or common_name": "path,genus,species,common_name\n1.jpg,Vulpes,vulpes,fox\n",
    "label, category or species": "path,label,category,species\n1.jpg,x,animal,fox\n",
}


@pytest.mark.parametrize("names", AMBIGUOUS)
def test_several_columns_that_could_be_the_label_are_refused_with_their_names(tmp_path, names):
    (fault,) = refused(tmp_path, AMBIGUOUS[names])
    assert fault.startswith(
        f"has {names.count(',') + 2} columns that could be the label: {names}. Their values differ. "
    )
    remedy = fault.rpartition("--set sources.columns.label=")[2].rstrip(".")
    table = read_label_table(str(tmp_path / "t.csv"), columns={"label": remedy.strip('"')})
    assert table.rows["label"][0] == "fox"


def test_several_columns_that_say_the_same_or_nothing_are_not_ambiguous(tmp_path):
    table = table_of(
        tmp_path, {"path": "a/1.jpg", "filename": "1.jpg", "label": "Fox", "species": "fox", "category": ""}
    )
    assert values(table, "path", "label") == [("a/1.jpg", "Fox")]
    with_station = table_of(tmp_path, {"path": "1.jpg", "label": "fox", "station": "S1", "site": "north"})
    assert values(with_station, "station") == [("S1",)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("path,file,label\nS1,1.jpg,fox\n", "2 columns that could be the path: path or file."),
        ("path,label,location,site\n1.jpg,fox,a,b\n", "2 columns that could be the station: location or site."),
        ("path,label,datetime,timestamp\n1.jpg,fox,2024-05-01,2024-05-02\n", "2 columns that could be the captured_at"),
    ],
)
def test_other_columns_are_not_guessed_either(tmp_path, text, what):
    (fault,) = refused(tmp_path, text)
    assert fault.startswith(f"has {what}")


@pytest.mark.parametrize("header", ["path,label,Label", "path,label,label", "path,label, LABEL\u200b "])
def test_a_name_that_stands_twice_is_refused(tmp_path, header):
    (fault,) = refused(tmp_path, f"{header}\n1.jpg,fox,hare\n")
    assert fault.startswith("has 2 columns of the same name: 'label', ")
    if "Label" in header:
        table = read_label_table(str(tmp_path / "t.csv"), columns={"label": "Label"})
        assert list(table.rows["label"]) == ["hare"]


def test_names_that_stand_twice_do_not_matter_where_they_are_not_read(tmp_path):
    (tmp_path / "t.csv").write_text("path,label,note,note,,\n1.jpg,fox,a,b,,\n")
    assert list(read_label_table(str(tmp_path / "t.csv")).rows["label"]) == ["fox"]


def test_a_directory_beside_a_bare_file_name_belongs_to_the_path(tmp_path):
    table = table_of(tmp_path, {"Directory": "S1\\100RECNX", "file": "1.jpg", "label": "fox"})
    assert values(table, "path", "path_1") == [("S1/100RECNX/1.jpg", "1.jpg")]


def test_chosen_columns_win_over_any_reader_and_can_be_joined_or_left_out(tmp_path):
    row = {"Folder": "S1\\a", "Image": "1.jpg", "What": "", "Genus": "Vulpes", "Epithet": "vulpes", "site": "x"}
    chosen = {"path": "Folder+Image", "label": "What|Genus+Epithet", "station": ""}
    table = table_of(tmp_path, row, {**row, "Image": "2.jpg", "What": "empty"}, **chosen)
    assert values(table, "path", "label") == [("S1/a/1.jpg", "Vulpes vulpes"), ("S1/a/2.jpg", "empty")]
    assert "station" not in table.rows and table.origins["label"] == "What|Genus+Epithet"
    wildlife = table_of(tmp_path, {**WILDLIFE, "filename": "1.jpg", "family": "Felidae"}, label="family")
    assert (wildlife.program, list(wildlife.rows["label"])) == ("Wildlife Insights", ["Felidae"])


def test_chosen_columns_that_are_not_there_are_all_named(tmp_path):
    faults = refused(tmp_path, "path,kind\n1.jpg,fox\n", label="sort", camera="cam")
    assert faults == [
        f"sources.columns.label = 'sort': {tmp_path}/t.csv has no such column, only path, kind.",
        f"sources.columns.camera = 'cam': {tmp_path}/t.csv has no such column, only path, kind.",
    ]
