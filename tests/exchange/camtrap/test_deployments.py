"""The deployments file, and the deployments that are made from it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.exchange.camtrap.deployments import COLUMNS, Station, make_deployments

MAY = Station(datetime(2024, 5, 1, 11), datetime(2024, 5, 9, 12), "C1")


@pytest.fixture
def make(tmp_path, make_settings):
    def run(
        text: str | bytes, *stations: str, only_with_images: bool = False, **settings: object
    ) -> tuple[list[dict[str, str]], list[str]]:
        """Return the deployments, without empty values, and the notes."""
        (tmp_path / "d.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        keys = {f"export.{name}": value for name, value in settings.items()}
        export = make_settings({"export.deployments": str(tmp_path / "d.csv"), **keys}).export
        found, notes = make_deployments(dict.fromkeys(stations or ("S1",), MAY), export, only_with_images)
        rows = [dict(zip(COLUMNS, each.values(), strict=True)) for each in found]
        return [{name: value for name, value in row.items() if value} for row in rows], notes

    return run


def faults(make, text: str | bytes, *stations: str, **settings: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        make(text, *stations, **settings)
    return [fault.partition("d.csv")[2].strip() for fault in caught.value.faults]


def test_times_that_the_file_lacks_are_those_of_the_images(make):
    (row,), notes = make("Station;Lat;LON;TZ;Height\r\n S1 ;-12,5;69.25;America/Lima;3\r\n")
    assert row == {
        "deploymentID": "S1",
        "locationID": "S1",
        "locationName": "S1",
        "latitude": "-12.5",
        "longitude": "69.25",
        "deploymentStart": "2024-05-01T11:00:00-05:00",
        "deploymentEnd": "2024-05-09T12:00:00-05:00",
        "cameraID": "C1",
        "deploymentComments": "Start and end are the times of the first and the last image.",
    }
    assert notes == ["d.csv: columns that are not used: Height."]


@pytest.mark.parametrize(
    ("start", "zone", "written"),
    [
        ("2024-01-31", "Europe/Berlin", "2024-01-31T00:00:00+01:00"),
        ("2024-07-01 10:30", "Europe/Berlin", "2024-07-01T10:30:00+02:00"),
        ("2024-07-01T10:30:05.5Z", "", "2024-07-01T10:30:05Z"),
        ("2024-07-01T10:30:05-0330", "", "2024-07-01T10:30:05-03:30"),
        ("2024-07-01", "utc", "2024-07-01T00:00:00Z"),
        ("2024-07-01", "UTC+5:45", "2024-07-01T00:00:00+05:45"),
        ("2024-07-01", "-3", "2024-07-01T00:00:00-03:00"),
        ("2024-07-01", "", "2024-07-01T00:00:00+13:00"),
    ],
)
def test_a_deployment_has_one_offset_that_of_its_start(make, start, zone, written):
    text = f"station,latitude,longitude,start,end,timezone\nS1,0,0,{start},2024-12-31,{zone}\n"
    (row,), _ = make(text, time_zone="+13:00")
    assert row["deploymentStart"] == written
    assert row["deploymentEnd"] == f"2024-12-31T23:59:59{written[19:]}"


def test_own_deployments_csv_is_read_as_the_deployments_file(make):
    text = "station,latitude,longitude,start,end,timezone,cameraTilt,baitUse,cameraHeight\n"
    text += "S1,1,2,2024-01-01,2024-06-01,UTC,-10.0,yes,1.20\nS1,1,2,2024-06-01 23:59:59,2024-07-01,UTC,,,\n"
    rows, _ = make(text)
    assert [row["deploymentID"] for row in rows] == ["S1 2024-01-01 00:00:00", "S1 2024-06-01 23:59:59"]
    assert {name: rows[0][name] for name in ("cameraTilt", "baitUse", "cameraHeight")} == {
        "cameraTilt": "-10",
        "baitUse": "true",
        "cameraHeight": "1.2",
    }
    written = ",".join(COLUMNS) + "\n" + "".join(",".join(row.get(c, "") for c in COLUMNS) + "\n" for row in rows)
    assert make(written)[0] == rows


@pytest.mark.parametrize(
    ("decimals", "written"),
    [
        (None, ("52.70442", "-0.04995", "30")),
        (3, ("52.704", "-0.050", "96")),
        (1, ("52.7", "0.0", "6539")),
        (0, ("53", "0", "65111")),
    ],
)
def test_rounded_coordinates_have_a_wider_uncertainty(make, decimals, written):
    text = "station,latitude,longitude,timezone,uncertainty\nS1,52.70442,-0.04995,UTC,30\n"
    (row,), _ = make(text, coordinate_decimals=decimals)
    assert tuple(row[name] for name in ("latitude", "longitude", "coordinateUncertainty")) == written


HEADER = "station,latitude,longitude,start,end,timezone,featureType\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("station,lat\nS1,1\n", ["has no column longitude, only station, lat."]),
        ("", ["is empty."]),
        (HEADER.encode() + b"S\xfc1,1,1,,,UTC,\n", ["is not in UTF-8: line 2 has the byte 0xfc"]),
        (
            f"{HEADER}S1,91,x,,,UTC,\n",
            ["line 2: latitude = '91' is out of range", "line 2: longitude = 'x' is no number"],
        ),
        (
            f"{HEADER}S1,1,1,01.05.2024,,Mars/X,road\n",
            ["line 2: start = '01.05.2024'", "line 2: 'Mars/X' is no", "line 2: f"],
        ),
        (f"{HEADER}S1,1,1,2024-02-30,,UTC,\n", ["line 2: start = '2024-02-30' is no time."]),
        (f"{HEADER}S1,1,1,2024-05-02,2024-05-01,UTC,\n", ["line 2: it ends (2024-05-01 23:59:59) before it starts"]),
        (f"{HEADER}S1,1,1,,,UTC,\nS1,2,1,,,UTC,\n", ["has 2 rows for S1 (lines 2, 3). Give each a start and an end."]),
        (
            f"{HEADER}S1,1,1,2024-01-01,2024-03-01,UTC,\nS1,1,1,2024-02-01,2024-04-01,UTC,\n",
            ["lines 2 and 3: deployments at S1 overlap"],
        ),
        (f"{HEADER}S1,NA,1,,,,\nS9,1,1,,,,\n", ["has no coordinates for S1.", "has no time zone for S1,"]),
        (f"{HEADER},1,1,,,UTC,\n", ["line 2: it has no station."]),
    ],
)
def test_a_broken_deployments_file_is_refused_with_every_fault(make, text, expected):
    found = faults(make, text)
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for fault, start in zip(found, expected, strict=True)), found


def test_stations_without_a_row_are_listed_beside_those_that_were_not_used(make):
    (fault,) = faults(make, f"{HEADER}s1,1,1,,,UTC,\n", *(f"S{i:02}" for i in range(25)))
    assert fault.startswith("has no row for S00, S01, ") and "S19 and 5 more. Add them." in fault
    assert fault.endswith("Stations of the file without images: s1.")


def test_deployments_without_images_stay_where_their_times_are_known(make):
    text = (
        f"{HEADER}S1,1,1,,,UTC,\nS2,1,1,2024-01-01,2024-02-01,UTC,\nS3,1,1,,,UTC,\nS2,1,1,2024-01-01,2024-02-01,UTC,\n"
    )
    rows, (note,) = make(text)
    assert [row["deploymentID"] for row in rows] == ["S1", "S2"]
    assert note.endswith("left out, for want of images, and of coordinates, times or time zone: lines 4.")
    rows, notes = make(text, only_with_images=True)
    assert ([row["deploymentID"] for row in rows], notes) == (["S1"], [])


def test_images_outside_of_the_only_deployment_of_their_station_are_noted(make):
    text = f"{HEADER}S1,1,1,2024-05-02,2024-06-01,UTC,\nS2,1,1,2024-05-01,2024-06-01,UTC,\nS3,1,1,,2024-05-08,UTC,\n"
    (note,) = make(text, "S1", "S2", "S3")[1]
    assert note.endswith(
        "S1 (images from 2024-05-01 11:00:00 to 2024-05-09 12:00:00), S3 (images from 2024-05-01 11:00:00 to "
        "2024-05-09 12:00:00)."
    )


def test_a_file_that_is_not_there_is_named(make, make_settings, tmp_path: Path):
    settings = make_settings({"export.deployments": str(tmp_path / "none.csv")}).export
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        make_deployments({"S1": MAY}, settings)


def test_the_last_second_of_one_of_several_deployments_belongs_to_it(make_settings, tmp_path: Path):
    text = f"{HEADER}S1,1,1,2024-01-01,2024-02-01,UTC,\nS1,1,1,2024-03-01,2024-04-01 10:00:00,UTC,\n"
    (tmp_path / "d.csv").write_text(text)
    settings = make_settings({"export.deployments": str(tmp_path / "d.csv")}).export
    found, _ = make_deployments({"S1": MAY}, settings)
    assert [each.until for each in found] == [datetime(2024, 2, 2), datetime(2024, 4, 1, 10, 0, 1)]
