"""Labels and stations that are probably mistakes are reported, and nothing is changed."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.config.settings import Sources
from pipelines.sources.name_hints import NameHints
from pipelines.sources.path_rules import compile_path_rule


def hints(*paths: str, labels: str = "folder", station: str = "none", rows: tuple[str, ...] = ()) -> list[str]:
    rules = Sources(
        dataset=None, images=None, labels=labels, columns={}, station=station, extensions=["jpg"], label_case="keep"
    )
    found, folder, place = NameHints(rules), compile_path_rule(labels), compile_path_rule(station)
    counts: Counter[str | None] = Counter(rows)
    for path in paths:
        found.add(path, folder(path), place(path))
        counts[folder(path)] += 1
    return found.notes(counts)


def test_ordinary_names_give_no_hint() -> None:
    assert hints("S1/fox/1.jpg", "S2/fox/1.jpg", "S1/hare/1.jpg", "S2/snow hare/1.jpg", station="folder:1") == []
    assert hints("fox/S1/1.jpg", "hare/S1/1.jpg", labels="folder:1", station="folder:2") == []
    assert hints("S1/fox/1.jpg", "S1/hare/1.jpg", labels="folder:-1", station="folder:-2") == []
    assert hints("S1/100MEDIA/1.jpg", "S1/1.jpg", labels="labels.csv", rows=("fox", "hare")) == []
    assert hints("20240501/1.jpg", "20240502/1.jpg") == []


def test_folders_of_cameras_are_no_labels() -> None:
    (note,) = hints("S1/100MEDIA/1.jpg", "S1/101MEDIA/1.jpg", "S2/100RECNX/1.jpg", "S3/A01.MP4/1.jpg", "S1/fox/1.jpg")
    assert note == (
        "4 images have a label that is a camera's name for a folder or video (100MEDIA, 100RECNX, 101MEDIA and 1 "
        "more). If the label is another folder of the path: --labels folder:N. "
        "If no folder is the label: --labels none, or a CSV file."
    )


@pytest.mark.parametrize(("labels", "count"), [("folder", 1), ("folder:-1", 1), ("folder:1", 0)])
def test_a_label_below_a_label_is_reported(labels: str, count: int) -> None:
    notes = hints("leopard/1.jpg", "leopard/adult/2.jpg", "leopard/adult/3.jpg", "fox/4.jpg", "5.jpg", labels=labels)
    assert len(notes) == count
    if notes:
        assert notes[0].startswith("2 images are in label folders inside other label folders (leopard/adult): their")


def test_spellings_of_one_label_are_reported() -> None:
    notes = hints(labels="labels.csv", rows=("red fox", "Red_Fox", "red-fox", "fox", "1", "1.0", "01", "10", "-", "_"))
    assert notes == [
        "Labels that may be the same but count as different: '01' and '1' and '1.0', "
        "'Red_Fox' and 'red fox' and 'red-fox'."
    ]


def test_spellings_of_one_station_are_reported() -> None:
    notes = hints("S 1/1.jpg", "s1/2.jpg", "S2/3.jpg", labels="none", station="folder:1")
    assert notes == ["Stations that may be the same but count as different: 'S 1' and 's1'."]


@pytest.mark.parametrize(("station", "rule"), [("folder:2", "regex:^([^/]+/[^/]+)/"), ("folder:-1", "regex:PATTERN")])
def test_stations_of_one_name_in_several_folders_are_reported(station: str, rule: str) -> None:
    notes = hints("North/cam1/1.jpg", "South/cam1/1.jpg", "South/cam2/1.jpg", labels="none", station=station)
    assert notes == [
        "1 stations occur in several folders and count as one each, first cam1 (North/cam1, South/cam1). "
        f"If these are different stations: --set 'sources.station={rule}'."
    ]


def test_a_station_that_is_the_label_is_reported() -> None:
    assert hints("fox/1.jpg", "hare/2.jpg", "3.jpg", station="folder:1") == [
        "Every station equals the image's label (fox, hare): sources.station = folder:1 and sources.labels = folder "
        "name the same folder."
    ]
    assert hints("fox/fox/1.jpg", "S1/hare/2.jpg", station="folder:1") == []
