"""Camtrap DP: packages are valid by the official schemas, and are read as they were written."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats.camtrap_dp import FORMAT, export, read
from pipelines.exchange.formats.registry import detect_format

from ..camtrap_validators import TABLES, validate, validate_by_spark
from ..export_rows import by_model, by_person, by_source, export_row, make_export

STATIONS = """station,latitude,longitude,start,end,timezone,locationName,featureType
"Bach, links",52.70442,"23,84995",2024-01-01,2024-12-31,Europe/Berlin,"Der ""alte"" Bach",burrow
Ünï #2,-12.5,-69.25,,,America/Lima,,
S1,0,0,2024-05-01 10:00:00,2024-05-01 12:00:00,+05:45,,
S1,0,0.001,2024-05-01 12:00,2024-05-09,,,
no images,1,1,2024-01-01,2024-02-01,UTC,,
no times,1,1,,,UTC,,
"""
BACH = {"station": "Bach, links"}
ROWS = [
    export_row("Bach, links/ä ö#\"q'.JPG", **BACH, **by_person("Vulpes vulpes", 'Zoë, "Z"'), burst_id="b1"),
    export_row(".hidden/1.jpg", **BACH, **by_person(None, comment="too\ndark, really"), burst_id="b1"),
    export_row("a..b/...2..jpg", **BACH, **by_source("Red fox"), captured_at="2024-01-01 11:00:01.75", burst_id="b2"),
    export_row("~x 100%.jpg", **BACH, **by_model("empty", 0.99996), captured_at="2024-01-01 11:00:03", burst_id="b2"),
    export_row("100%25.jpeg", **BACH, **by_model("fox|hare", 1e-6, needs_review=True)),
    export_row("NA", station="Ünï #2", **by_source("human_setup")),
    export_row("nan", station="Ünï #2", **by_source("animal"), captured_at="2024-05-02 23:59:59"),
    export_row("line\nbreak.tif", station="Ünï #2", **by_model("car", 0.5)),
    export_row("broken.jpg", failure="truncated", content_hash=None),
    export_row("late.jpg", captured_at="2024-05-09 23:59:59.9", **by_source("nan")),
    export_row("second.jpg", captured_at="2024-05-01 12:00:00", **by_person("unknown")),
    export_row("afterwards.jpg", captured_at="2024-05-10 00:00:00", **by_source("Vulpes vulpes")),
    export_row("no time.jpg", captured_at=None, **by_source("Vulpes vulpes")),
    export_row("no station.jpg", station=None, **by_source("Vulpes vulpes")),
]
LABELS = '{"Red fox": {"scientific_name": "Vulpes  vulpes"}, "car": {"type": "vehicle"}}'


@pytest.fixture(scope="module")
def schemas() -> Path:
    folder = Path(__file__).resolve().parents[3] / ".." / "shared" / "schemas" / "camtrap-dp"
    if not folder.is_dir():
        pytest.skip(f"needs the schemas in {folder.resolve()}")
    return folder.resolve()


@pytest.fixture
def settings(make_settings, tmp_path):
    (tmp_path / "cameras.csv").write_text(STATIONS, encoding="utf-8")
    usual = {"export.deployments": str(tmp_path / "cameras.csv"), "export.labels": LABELS, "export.time_zone": "UTC"}
    return lambda more=None: make_settings({**usual, **(more or {})})


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table, without empty values."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [{column: value for column, value in row.items() if value} for row in csv.DictReader(file)]


def test_awkward_names_failures_and_time_zones_are_valid_and_come_back(spark, settings, tmp_path, schemas):
    out = tmp_path / "out"
    result = export(make_export(spark, out, settings({"export.title": "Ä survey/2"}), ROWS))
    assert validate(out, schemas) == []
    assert validate_by_spark(spark, out, schemas) == {}
    assert result.written == {"deployments": 5, "images": 11, "observations": 11 + 9}
    assert result.left_out == {
        "without a capture time": 1,
        "without a station": 1,
        "taken at no time of a deployment": 1,
    }
    found = read(out, settings()).labels
    found = found.where(found.notna(), None).set_index("path")
    expected = {
        row["relative_path"]: row
        for row in ROWS
        if row["captured_at"] and row["station"] and row["relative_path"] not in ("afterwards.jpg", "broken.jpg")
    }
    assert set(found.index) == set(expected)
    for path, row in expected.items():
        label = row["label"] if row["label_source"] else row["prediction"]
        assert (path, found["label"][path], found["station"][path]) == (path, label, row["station"])
        assert found["captured_at"][path] == pd.Timestamp(row["captured_at"]).floor("s")
        assert found["is_unknown"][path] == row["is_unknown"]
        assert found["is_machine"][path] == (row["label_source"] is None)
    assert found.loc[".hidden/1.jpg", ["reviewer", "comment"]].tolist() == ["ana", "too dark, really"]
    assert found["reviewed_at"]["second.jpg"] == pd.Timestamp("2024-06-01 10:00:00", tz="UTC")
    assert detect_format(out) == FORMAT and detect_format(out / "datapackage.json") == FORMAT


def test_each_image_is_an_observation_and_so_is_what_was_seen_in_each_event(spark, settings, tmp_path):
    rows = [
        export_row("1.jpg", **BACH, **by_model("fox", 0.7), burst_id="b"),
        export_row(
            "2.jpg", **BACH, **by_model("fox", 0.8, needs_review=True), burst_id="b", captured_at="2024-05-01 11:00:09"
        ),
        export_row("3.jpg", **BACH, **by_model("blank", 0.9), burst_id="b", captured_at="2024-05-01 11:00:10"),
        export_row(
            "4.jpg", **BACH, **by_person("hare", comment="young"), burst_id="b", captured_at="2024-05-01 11:00:11"
        ),
        export_row("5.jpg", **BACH, **by_model("blank"), burst_id="c"),
        export_row("6.jpg", **BACH, failure="empty", burst_id="c"),
    ]
    export(make_export(spark, tmp_path / "out", settings(), rows))
    observations = table(tmp_path / "out", "observations")
    machine = {"classificationMethod": "machine", "classifiedBy": "irbis irbis v7"}
    machine |= {"classificationTimestamp": "2024-06-02T10:00:00Z"}
    human = {"classificationMethod": "human", "classifiedBy": "ana", "classificationTimestamp": "2024-06-01T10:00:00Z"}
    times = {"eventStart": "2024-05-01T11:00:00+01:00", "eventEnd": "2024-05-01T11:00:11+01:00"}
    shared = {"deploymentID": "Bach, links", "eventID": "b", **times}
    fox = {"observationType": "animal", "scientificName": "fox"}
    events = [row for row in observations if row["observationLevel"] == "event"]
    assert sorted(
        ({key: value for key, value in row.items() if key != "observationID"} for row in events),
        key=lambda row: (row["eventID"], row.get("scientificName", "")),
    ) == [
        {**shared, "observationLevel": "event", **fox, **machine, "classificationProbability": "0.80000"}
        | {"observationTags": "needsReview:true"},
        {**shared, "observationLevel": "event", "observationType": "animal", "scientificName": "hare", **human},
        {**shared, "eventID": "c", "eventEnd": times["eventStart"], "observationLevel": "event"}
        | {"observationType": "blank", **machine, "classificationProbability": "0.90000"},
    ]
    by_media = {row["mediaID"]: row for row in observations if "mediaID" in row}
    media = {row["fileName"]: row["mediaID"] for row in table(tmp_path / "out", "media")}
    own = {"observationID": media["4.jpg"], "mediaID": media["4.jpg"], "observationLevel": "media"}
    animal = {"observationType": "animal", "scientificName": "hare", "observationComments": "young"}
    assert by_media[media["4.jpg"]] == {**shared, **own, **animal, **human}
    failed = by_media[media["6.jpg"]]
    assert failed["observationType"] == "unclassified" and "classificationMethod" not in failed
    comments = {row["fileName"]: row.get("mediaComments") for row in table(tmp_path / "out", "media")}
    assert comments == {f"{i}.jpg": "failure: empty" if i == 6 else None for i in range(1, 7)}


def test_sensitive_coordinates_are_rounded_everywhere_and_people_left_out(spark, settings, tmp_path, schemas):
    more = {
        "export.capture_method": "both",
        "export.coordinate_decimals": 1,
        "export.leave_out_people": True,
        "export.contributor": "Museum",
    }
    out = tmp_path / "out"
    result = export(make_export(spark, out, settings(more), ROWS))
    assert validate(out, schemas) == []
    assert result.left_out["of people"] == 1
    assert "1 images are unclassified: they may show people." in result.notes
    first = table(out, "deployments")[0]
    assert (first["latitude"], first["longitude"], first["coordinateUncertainty"]) == ("52.7", "23.8", "6509")
    text = "".join(file.read_text("utf-8") for file in out.iterdir())
    assert "52.70" not in text and "23.84" not in text and "human" not in text.replace(",human,", "")
    descriptor = json.loads((out / "datapackage.json").read_text("utf-8"))
    assert descriptor["coordinatePrecision"] == 0.1
    assert descriptor["project"]["captureMethod"] == ["activityDetection", "timeLapse"]
    assert descriptor["contributors"] == [{"title": "Museum", "role": "contributor"}]


def test_a_station_without_coordinates_or_time_zone_is_named(spark, make_settings, tmp_path):
    def faults(text: str | None) -> list[str]:
        (tmp_path / "d.csv").write_text(text or "")
        file = str(tmp_path / "d.csv") if text else None
        with pytest.raises(DataError) as caught:
            export(make_export(spark, tmp_path, make_settings({"export.deployments": file}), ROWS[:1] + ROWS[-4:-3]))
        return caught.value.faults

    (fault,) = faults(None)
    assert fault.endswith("and rows for Bach, links, S1: --set export.deployments=FILE.")
    assert [fault.split(". ")[1] for fault in faults("station,lat,lon\nS1,,\nS2,1,1\n")[:1]] == [
        f"{tmp_path}/d.csv has no row for Bach, links"
    ]
    assert len(faults("station,lat,lon\nS1,,\nS2,1,1\n")) == 3


def test_an_export_without_images_is_refused_with_the_reasons(spark, settings, tmp_path):
    rows = [export_row("1.jpg", **by_source("person")), export_row("2.jpg", captured_at="2020-01-01 00:00:00")]
    with pytest.raises(DataError, match="left to export: 1 taken at no time of a deployment, 1 of people"):
        export(make_export(spark, tmp_path / "out", settings({"export.leave_out_people": True}), rows))
    assert not list((tmp_path / "out").iterdir())


def test_no_file_that_irbis_did_not_write_is_replaced(spark, make_settings, tmp_path):
    (tmp_path / "deployments.csv").write_text(STATIONS, encoding="utf-8")
    settings = make_settings({"export.deployments": str(tmp_path / "deployments.csv")})
    with pytest.raises(DataError, match=r"has deployments\.csv, which irbis did not write"):
        export(make_export(spark, tmp_path, settings, ROWS))
    assert (tmp_path / "deployments.csv").read_text("utf-8") == STATIONS


def test_an_export_replaces_the_last_one_and_a_failed_one_leaves_no_whole_package(
    spark, settings, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    export(make_export(spark, out, settings(), ROWS))
    export(make_export(spark, out, settings(), ROWS[:1]))
    assert len(table(out, "media")) == 1
    monkeypatch.setattr("pipelines.exchange.formats.camtrap_dp.write_lines", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(make_export(spark, out, settings(), ROWS))
    assert not (out / "datapackage.json").exists()


def test_rules_in_spark_find_what_the_validators_find(spark, settings, tmp_path, schemas):
    out = tmp_path / "out"
    export(make_export(spark, out, settings(), ROWS))
    for name, column, value in (
        ("deployments", "latitude", "91"),
        ("media", "filePath", "a/../b.jpg"),
        ("media", "deploymentID", "nowhere"),
        ("observations", "observationType", "beast"),
        ("observations", "eventStart", "2024-05-01 11:00:00"),
        ("observations", "classificationProbability", "1.5"),
    ):
        rows = pd.read_csv(out / f"{name}.csv", dtype=str, keep_default_na=False)
        rows.loc[0, column] = value
        rows.to_csv(out / f"{name}.csv", index=False)
    rows.loc[0, "observationID"] = rows["observationID"][1]
    rows.to_csv(out / "observations.csv", index=False)
    assert validate_by_spark(spark, out, schemas) == {
        "deployments.latitude maximum": 1,
        "media.filePath pattern": 1,
        "media.deploymentID foreign key": 1,
        "observations.observationType enum": 1,
        "observations.eventStart type": 1,
        "observations.classificationProbability maximum": 1,
        "observations.observationID unique": 1,
    }
    assert len(validate(out, schemas)) >= 7


def test_a_zip_archive_of_a_package_is_read_like_its_folder(spark, settings, tmp_path):
    out = tmp_path / "out"
    export(make_export(spark, out, settings(), ROWS))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in ("datapackage.json", *(f"{name}.csv" for name in TABLES)):
            archive.write(out / name, f"survey-main/{name}")
    pd.testing.assert_frame_equal(read(tmp_path / "p.zip", settings()).labels, read(out, settings()).labels)
