"""What a path says: the series of files that an image is one of."""

from __future__ import annotations

import pytest

from pipelines.storage.path_rules import file_series


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
