"""Which rows of a Camtrap DP package count: of several locations, media and observations."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.sources.camtrap_labels import read_package_labels
from pipelines.sources.camtrap_package import open_package

from .test_camtrap_package import MEDIA, labels, write_package

HUMAN = "o1,d1,m1,,,,animal,Lepus,human,ana,,\no2,d2,m4,,,,animal,Canis,human,ana,,\n"


@pytest.mark.parametrize(
    ("deployments", "stations"),
    [
        ("d1,l1,Oak\nd2,l2,Elm\n", ["Oak", "Elm"]),
        ("d1,l1,Oak\nd2,l2,Oak\n", ["l1", "l2"]),  # a name of two locations
        ("d1,l1,Oak\nd2,l1,Oak\n", ["Oak", "Oak"]),
        ("d1,,\nd2,l2,\n", ["d1", "l2"]),
    ],
)
def test_a_station_is_the_name_of_its_location_if_no_other_has_it(tmp_path, deployments, stations):
    text = f"deploymentID,locationID,locationName\n{deployments}"
    package = write_package(tmp_path / "p", HUMAN, deployments=text)
    assert read_package_labels(open_package(package)).rows["station"].tolist() == stations


def test_a_medium_may_be_listed_twice_but_not_with_two_files(tmp_path):
    row = "m1,d1,2024-05-01T11:00:00+02:00,https://h/m1/file,1.JPG\n"
    assert labels(write_package(tmp_path / "p", HUMAN, media=MEDIA + row)) == {"m1": "Lepus", "m4": "Canis"}
    other = write_package(tmp_path / "q", HUMAN, media=MEDIA + row.replace("1.JPG", "9.JPG"))
    with pytest.raises(DataError, match=r"in media\.csv, 1 rows have the mediaID of another, first 'm1'"):
        labels(other)


def test_an_observation_with_a_time_is_later_than_one_without(tmp_path):
    rows = "o1,d1,m1,,,,animal,Lepus,human,ana,2024-06-02T00:00:00Z,\no2,d1,m1,,,,animal,Canis,human,ben,,\n"
    assert labels(write_package(tmp_path / "p", rows)) == {"m1": "Lepus"}
