"""The station, the file series and the time of an image, from its path."""

from __future__ import annotations

from datetime import datetime

import pytest

from pipelines.sources.path_rules import compile_path_rule, file_series, time_in_name


@pytest.mark.parametrize(
    ("path", "rule", "expected"),
    [
        ("S1/100RECNX/IMG_0042.JPG", "none", ("S1/100RECNX/IMG_", 42)),
        ("leopard/CAM1_0042.JPG", "folder", ("CAM1_", 42)),
        ("leopard/S1/IMG_0042.JPG", "folder:1", ("S1/IMG_", 42)),
        ("S1/leopard/IMG_0042.JPG", "folder", ("S1/IMG_", 42)),
        ("IMG_0042.JPG", "folder", ("IMG_", 42)),
        ("a/06150012.JPG", "none", ("a/", 6150012)),
        ("a/IMG_0042 (edited).JPG", "none", ("a/IMG_", 42)),
        ("a/IMG_20240501_060000.jpg", "none", ("a/IMG_", None)),
        ("a/S1__2024-05-01__06-00-00(2).JPG", "none", ("a/S1__", None)),
        ("a/IMG_20240501_060000_003.jpg", "none", ("a/IMG__", None)),
        ("a/2024-05-01 06.00.00.jpg", "none", ("a/", None)),
        ("a/0b2f6c1e-9d1c-4f6e-8a52-7a3c6f0d9b11.jpg", "none", ("a/", None)),
        ("a/IMG_0042 (1).JPG", "none", ("a/IMG_", 42)),  # copies, as Windows, macOS and Linux name them
        ("a/IMG_0042 - Copy.JPG", "none", ("a/IMG_", 42)),
        ("a/IMG_0042 - Copy (2).JPG", "none", ("a/IMG_", 42)),
        ("a/IMG_0042 copy 2.JPG", "none", ("a/IMG_", 42)),
        ("a/IMG_0042 - Kopie.JPG", "none", ("a/IMG_", 42)),
        ("a/fox (7).jpg", "none", ("a/fox (", 7)),  # renamed all at once: the number counts
        ("photo.jpg", "labels.csv", ("photo", None)),
        ("noext0007", "none", ("noext", 7)),
    ],
)
def test_a_file_name_gives_its_series_and_number(path, rule, expected) -> None:
    assert file_series(path, rule) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S1/20240501_143002.jpg", datetime(2024, 5, 1, 14, 30, 2)),
        ("Cam1_00_20240501143002.jpg", datetime(2024, 5, 1, 14, 30, 2)),
        ("S1__2024-05-01__14-30-02(1).JPG", datetime(2024, 5, 1, 14, 30, 2)),
        ("2024-05-01 14.30.02.jpg", datetime(2024, 5, 1, 14, 30, 2)),
        ("IMG_20240501_143002_003.jpg", datetime(2024, 5, 1, 14, 30, 2)),
        ("20240501_143002/IMG_0001.jpg", None),  # of the folder
        ("20240501_1430.jpg", None),
        ("2024-05-01.jpg", None),
        ("20240230_143002.jpg", None),
        ("20240501_253002.jpg", None),
        ("120240501_143002.jpg", None),
        ("20000101_000000.jpg", None),  # a clock that was never set
    ],
)
def test_a_file_name_may_give_the_time(name, expected) -> None:
    assert time_in_name(name) == expected


@pytest.mark.parametrize(
    ("rule", "deep", "flat"),
    [
        ("folder:2", "cat", None),
        ("folder:-1", "deep", None),
        ("folder:-3", "S2", None),
        ("folder:4", None, None),
        ("folder:-4", None, None),
        (r"regex:^S(\d)/", "2", None),
        (r"regex:(\d)\.\w+$", "4", "1"),
        (r"regex:(x)?\d", None, None),
        ("regex:^(\u200b)?", None, None),
        ("none", None, None),
    ],
)
def test_a_station_is_read_off_the_path(rule, deep, flat) -> None:
    read = compile_path_rule(rule)
    assert (read("S2/cat/deep/4.png"), read("1.jpg")) == (deep, flat)
