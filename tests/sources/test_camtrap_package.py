"""Labels of Camtrap DP packages, as programs write them."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.sources.camtrap_labels import read_package_labels
from pipelines.sources.camtrap_package import is_package, open_package, package_files
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import read_label_table

PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0/camtrap-dp-profile.json"
TABLES = ("deployments", "media", "observations")
DEPLOYMENTS = "deploymentID,locationID,locationName\nd1,l1,Oak\nd2,l2,Elm\n"
MEDIA = """mediaID,deploymentID,timestamp,filePath,fileName
m1,d1,2024-05-01T11:00:00+02:00,https://h/m1/file,1.JPG
m2,d1,2024-05-01T11:00:05+02:00,https://h/m2/file,2.JPG
m3,d1,2024-05-01T11:09:00+02:00,https://h/m3/file,3.JPG
m4,d2,2024-05-01T11:00:02Z,https://h/m4/file,1.JPG
"""
COLUMNS = (
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationType,scientificName,"
    "classificationMethod,classifiedBy,classificationTimestamp,classificationProbability\n"
)
IMAGES = ["survey/d1/1.JPG", "survey/d1/2.JPG", "survey/d1/3.JPG", "survey/d2/1.JPG"]


def write_package(folder: Path, rows: str, **files: str | bytes) -> Path:
    """Write a package with these observations; `files`: the content of other tables, or of the descriptor."""
    resources = [{"name": name, "path": f"{name}.csv"} for name in TABLES]
    descriptor = json.dumps({"profile": PROFILE, "resources": resources})
    content = {"deployments": DEPLOYMENTS, "media": MEDIA, "observations": COLUMNS + rows}
    content |= {"descriptor": descriptor} | files
    folder.mkdir(exist_ok=True)
    for name, text in content.items():
        path = folder / ("datapackage.json" if name == "descriptor" else f"{name}.csv")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def labels(folder: Path, **options: object) -> dict[str, str | None]:
    """Return the labels by mediaID; of machines in brackets, `?` for unknown."""
    rows = read_package_labels(open_package(folder), **options).rows  # type: ignore[arg-type]
    return {
        row.path.split("/")[3]: f"[{row.label}]" if row.is_machine else "?" if row.is_unknown else row.label
        for row in rows.itertuples()
    }


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        ("o1,d1,m1,,,,animal,Vulpes vulpes,human,ana,,\n", {"m1": "Vulpes vulpes"}),
        ("o1,d1,m1,,,,blank,,,,,\n", {"m1": "blank"}),
        ("o1,d1,m1,,,,human,Homo sapiens,human,ana,,\n", {"m1": "human"}),
        ("o1,d1,m1,,,,unknown,,human,ana,,\no2,d1,m2,,,,unclassified,,,,,\n", {"m1": "?"}),
        # A person comes before a model, an image before its event, a species before a blank.
        ("o1,d1,m1,,,,animal,Lepus,human,ana,,\no2,d1,m1,,,,animal,Canis,machine,M,,0.9\n", {"m1": "Lepus"}),
        ("o1,d1,m1,,,,animal,Lepus,machine,M,,0.3\no2,d1,m1,,,,animal,Canis,machine,M,,0.9\n", {}),
        ("o1,d1,m1,,,,animal,Lepus,machine,A,,0.3\no2,d1,m1,,,,animal,Canis,machine,B,,0.9\n", {"m1": "[Canis]"}),
        ("o1,d1,m1,,,,blank,,human,ana,,\no2,d1,m1,,,,animal,Lepus,human,ana,,\n", {"m1": "Lepus"}),
        # Of two people, the last one; of one, two species have no one label.
        (
            "o1,d1,m1,,,,animal,Lepus,human,ana,2024-06-02T00:00:00Z,\n"
            "o2,d1,m1,,,,animal,Canis,human,ben,2024-06-02T00:30:00+02:00,\n",
            {"m1": "Lepus"},
        ),
        ("o1,d1,m1,,,,animal,Lepus,human,ana,,\no2,d1,m1,,,,animal,Canis,human,ana,,\n", {}),
        # An event, by its images or by its time.
        (
            "o1,d1,m1,e1,,,blank,,machine,M,,\no2,d1,m3,e1,,,blank,,machine,M,,\no3,d1,,e1,,,animal,Lepus,human,ana,,\n",
            {"m1": "Lepus", "m3": "Lepus"},
        ),
        (
            "o1,d1,,e1,2024-05-01T09:00:00Z,2024-05-01T11:00:05+02:00,animal,Lepus,human,ana,,\n"
            "o2,d1,m2,e1,,,animal,Canis,human,ana,,\n",
            {"m1": "Lepus", "m2": "Canis"},
        ),
        ("o1,d1,m3,e1,,,unclassified,,,,,\no2,d1,,e1,,,animal,Lepus,human,ana,,\n", {"m3": "Lepus"}),
    ],
)
def test_an_image_has_the_label_of_its_person_its_event_or_a_model(tmp_path, observations, expected):
    assert labels(write_package(tmp_path / "p", observations)) == expected


def test_the_labels_of_export_labels_are_found_again(tmp_path):
    package = write_package(tmp_path / "p", "o1,d1,m1,,,,animal,Vulpes vulpes,,,,\no2,d1,m2,,,,human,,,,,\n")
    meanings = {"fox": ("animal", "Vulpes vulpes"), "ranger": ("human", ""), "hunter": ("human", "")}
    assert labels(package, meanings=meanings) == {"m1": "fox", "m2": "human"}


def test_a_tag_counts_only_where_the_observation_is_still_that_of_the_export(tmp_path):
    own = {"fox": {"type": "animal", "scientific_name": "Vulpes vulpes"}, "empty": {"type": "blank"}}
    resources = [{"name": name, "path": f"{name}.csv"} for name in TABLES]
    header = "mediaID,observationType,scientificName,observationTags\n"
    rows = (
        "m1,animal,Vulpes vulpes,needsReview:true | label:fox\nm2,animal,Canis lupus,label:fox\nm3,blank,,label:empty\n"
    )
    package = write_package(
        tmp_path / "p",
        "",
        observations=header + rows,
        descriptor=json.dumps({"resources": resources, "irbis": {"labels": own}}),
    )
    assert labels(package) == {"m1": "fox", "m2": "Canis lupus", "m3": "empty"}


@pytest.mark.parametrize("form", ["folder", "json", "zip"])
def test_a_package_is_a_labels_file(tmp_path, form):
    rows = "o1,d1,m1,e1,,,animal,Lepus,human,ana,,\no2,d2,m4,e2,,,animal,Canis,machine,M,,1\no3,d1,m2,,,,animal,,,,,\n"
    folder = write_package(tmp_path / "p", rows)
    path = {"folder": folder, "json": folder / "datapackage.json", "zip": tmp_path / "p.zip"}[form]
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"deep/{file.name}")
    found, (line, *notes) = match_labels(read_label_table(str(path)), IMAGES, "file:///survey/")
    (row,) = found.to_dict("records")
    assert (row["path"], row["label"], row["station"]) == ("survey/d1/1.JPG", "Lepus", "Oak")
    assert str(row["captured_at"]) == "2024-05-01 11:00:00+00:00"  # the camera's clock, as EXIF has it
    assert line.startswith(f"{path.name} (Camtrap DP): label = observations, path = deploymentID/fileName, ")
    assert notes == ["Treated as unlabelled: 1 classified by a model only, 1 without a species."]
    names = [path.name] if form == "zip" else ["datapackage.json", *(f"{name}.csv" for name in TABLES)]
    assert [file.name for file in package_files(path)] == names


def test_a_package_that_only_a_model_has_classified_has_no_labels(tmp_path):
    table = read_label_table(str(write_package(tmp_path / "p", "o1,d1,m1,,,,animal,Lepus,machine,M,,0.3\n")))
    assert (len(table.rows), table.notes) == (0, ("Treated as unlabelled: 1 classified by a model only.",))


def descriptor(path: str = "media.csv", profile: str = PROFILE, **more: object) -> dict[str, str]:
    resources = [{"name": name, "path": path if name == "media" else f"{name}.csv"} for name in TABLES]
    return {"descriptor": json.dumps({"profile": profile, "resources": resources, **more})}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"descriptor": '{"resources": [{"name"'}, "datapackage.json is truncated or no JSON (Expecting"),
        ({"descriptor": "[1]"}, "is not the description of a data package"),
        ({"descriptor": '{"a": ' * 100_000}, "datapackage.json is truncated or no JSON (maximum recursion depth"),
        ({"descriptor": "{" + " " * 2**26 + "}"}, "datapackage.json is larger than any description"),
        ({"descriptor": '{"resources": []}'}, "has no resource media and no resource observations"),
        (descriptor(profile=PROFILE.replace("1.0", "2.1")), "is of Camtrap DP 2, which irbis does not read"),
        (
            descriptor("../../secret.csv"),
            "the path of table media is '../../secret.csv': the name has the segment '..'",
        ),
        (descriptor("/etc/passwd"), "the path of table media is '/etc/passwd': the name is absolute"),
        (descriptor("https://h/media.csv"), "the table media is at https://h/media.csv. Download it"),
        (descriptor("gone.csv"), "lacks the file gone.csv of table media"),
        (
            {"media": "mediaID,filePath,timestamp\nm1,a,b.jpg,c\n"},
            "media.csv has rows with more values than its header",
        ),
        ({"media": MEDIA.encode() + b"m5,d1,,\xe4.jpg,\n"}, "media.csv is not in UTF-8: line 6 has the byte 0xe4"),
        ({"media": ""}, "media.csv is empty"),
        ({"observations": "mediaID,scientificName\nm1,Lepus\n"}, "observations.csv has no column observationType"),
        ({"media": "mediaID,deploymentID\nm1,d1\n"}, "media.csv has no column filePath"),
    ],
)
def test_a_broken_package_is_refused(tmp_path, files: Mapping[str, str], fault):
    package = write_package(tmp_path / "p", "o1,d1,m1,,,,animal,Lepus,human,ana,,\n", **files)
    with pytest.raises(DataError) as caught:
        read_label_table(str(package))
    assert fault in caught.value.faults[0]


def test_byte_order_marks_semicolons_missing_values_and_gzip_are_read(tmp_path):
    media = "\ufeff" + MEDIA.replace(",", ";").replace("\n", "\r\n")
    rows = "o1,d1,m1,,,,animal,NA,human,ana,,\no2,d1,m2,,,,animal,007,NA,NaN,,\n"
    package = write_package(tmp_path / "p", rows, media=gzip.compress(media.encode()), **descriptor("media.csv.gz"))
    (package / "media.csv").rename(package / "media.csv.gz")
    assert labels(package) == {"m2": "007"}


def test_a_compressed_table_that_unpacks_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.sources.camtrap_package.MAX_MEMBER_BYTES", 2**21)
    package = write_package(
        tmp_path / "p", "", media=gzip.compress(b" " * 2**24, mtime=0), **descriptor("media.csv.gz")
    )
    (package / "media.csv").rename(package / "media.csv.gz")
    with pytest.raises(DataError, match=r"media\.csv\.gz has more than 2,097,152 bytes"):
        labels(package)


def test_a_table_of_an_archive_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.sources.camtrap_package.MAX_MEMBER_BYTES", 400)
    folder = write_package(tmp_path / "p", "", media=MEDIA * 9)
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    with pytest.raises(DataError, match=r"media\.csv has [0-9,]+ bytes\. Unpack the archive"):
        labels(tmp_path / "p.zip")


def test_a_link_that_leads_out_of_the_package_is_refused(tmp_path):
    package = write_package(tmp_path / "p", "")
    (package / "media.csv").rename(tmp_path / "secret.csv")
    (package / "media.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match=r"media\.csv is a link that leads out of the package"):
        labels(package)


def test_the_shallowest_package_of_an_archive_is_read(tmp_path):
    folder = write_package(tmp_path / "p", "o1,d1,m1,,,,animal,Lepus,human,ana,,\n")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"a/old/{file.name}")
            archive.write(file, f"b/{file.name}")
    assert open_package(tmp_path / "p.zip").root == "b/"


def test_times_without_a_time_zone_are_read_as_utc(tmp_path):
    media = MEDIA.replace("+02:00", "").replace("Z", "")
    rows = "o1,d1,m1,,,,animal,Lepus,human,ana,2024-06-02T00:00:00,\n"
    rows += "o2,d1,m1,,,,animal,Canis,human,ben,2024-06-02T00:30:00+02:00,\n"
    package = write_package(tmp_path / "p", rows, media=media)
    assert labels(package) == {"m1": "Lepus"}
    found = read_package_labels(open_package(package)).rows
    assert found["captured_at"].tolist() == ["2024-05-01T11:00:00"]


def test_a_package_of_version_0_links_images_by_their_sequence(tmp_path):
    media = MEDIA.replace("mediaID,", "mediaID,sequenceID,").replace("m1,", "m1,s1,").replace("m2,", "m2,s1,")
    media = media.replace("m3,", "m3,s2,").replace("m4,", "m4,s3,")
    header = "observationID,deploymentID,sequenceID,mediaID,timestamp,observationType,scientificName,comments\n"
    package = write_package(tmp_path / "p", "", media=media, observations=f"{header}o1,d1,s1,,,animal,Lepus,x\n")
    assert labels(package) == {"m1": "Lepus", "m2": "Lepus"}


def test_other_archives_and_json_files_are_no_packages(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    (tmp_path / "coco.json").write_text('{"images": []}')
    (tmp_path / "labels.csv").write_text("path,label\n")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert not any(is_package(path) for path in [tmp_path, *tmp_path.iterdir(), tmp_path / "none"])
