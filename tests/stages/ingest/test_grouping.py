"""Bursts and groups of real files: how they are found, and the notes of ingest and train."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from pipelines.classifiers.training_set import TrainingSet
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train.caveats import group_caveats
from pipelines.workspace.tables import Tables

from ..conftest import NOON, jpeg, rows


def notes_of(result, word: str) -> list[str]:
    return [note for note in result.notes if word in note]


def test_unnamed_cameras_are_distinguished_by_their_files(spark, make_settings, draw):
    """Two cameras of which nothing is known, sorted into folders by label, were at work in the same minute."""
    frames = {
        f"{label}/CAM{camera}_{number:04d}.jpg": jpeg(
            80 * camera, 10 * camera + number, NOON + timedelta(seconds=5 * camera + number)
        )
        for camera, label in ((1, "fox"), (2, "hare"))
        for number in range(2)
    }
    frames["hare/CAM1_0002.jpg"] = jpeg(90, 99, NOON + timedelta(seconds=7))  # labelled otherwise than its burst
    settings = make_settings({"sources.images": str(draw(frames))})
    result = ingest.run(spark, settings)
    one, two = "?/files CAM1_/0/2024-06-01T12:00:05", "?/files CAM2_/0/2024-06-01T12:00:10"
    assert rows(Tables.of(spark, settings), "burst_id") == [(one,), (one,), (one,), (two,), (two,)]
    assert notes_of(result, "unknown") == [
        "station and camera of 5 of 5 images are unknown: bursts of 5 are found by folder, file name and time. "
        "Set sources.station (folder:N or regex:PATTERN), or give a column station with the labels."
    ]
    assert notes_of(result, "different labels") == [
        f"1 burst with different labels, first {one} (fox, hare). If the frames are of different cameras: "
        "Set sources.station (folder:N or regex:PATTERN), or give a column station with the labels."
    ]


@pytest.mark.parametrize("year", [1, 1582, 1899, 9999])
def test_a_time_of_another_age_is_unknown_and_stops_no_other_image(spark, make_settings, draw, year):
    odd = NOON.replace(year=year)
    frames = {"S1/IMG_1.jpg": jpeg(80, 1, odd), "S1/IMG_2.jpg": jpeg(90, 2, NOON)}
    settings = make_settings({"sources.images": str(draw(frames)), "sources.station": "folder:1"})
    result = ingest.run(spark, settings)
    found = rows(Tables.of(spark, settings), "captured_at", "group_id", "failure")
    assert found == [(None, "S1/no time IMG_1", None), (NOON, "S1/2024-06-01T12:00:00", None)]
    (note,) = notes_of(result, "implausible")
    assert note.startswith("1 image with an implausible time, first file://") and f"{odd.isoformat(' ')})" in note


def test_a_time_in_the_file_name_counts_where_no_other_is_known(spark, make_settings, draw):
    frames = {"S1/20240601_120002.jpg": jpeg(80, 1), "S1/20240601_130000.jpg": jpeg(90, 2, NOON)}
    settings = make_settings({"sources.images": str(draw(frames)), "sources.station": "folder:1"})
    result = ingest.run(spark, settings)
    assert rows(Tables.of(spark, settings), "captured_at", "burst_id") == [
        (NOON + timedelta(seconds=2), "S1/2024-06-01T12:00:00"),
        (NOON, "S1/2024-06-01T12:00:00"),
    ]
    assert notes_of(result, "time") == ["the time of 1 image is from the file name: no other is known."]


def test_a_stuck_clock_is_reported(spark, make_settings, draw):
    frames = {f"S1/IMG_{number:04d}.jpg": jpeg(80, number, NOON) for number in range(11)}
    settings = make_settings({"sources.images": str(draw(frames)), "sources.station": "folder:1"})
    result = ingest.run(spark, settings)
    found = rows(Tables.of(spark, settings), "burst_id", "group_id")
    assert len({burst for burst, _ in found}) == 11 and {group for _, group in found} == {"S1/no time IMG_0"}
    assert len(notes_of(result, "11 images were taken in the same second as more than 9 others")) == 1
    assert len(notes_of(result, "11 images have no usable time")) == 1


def test_bursts_stay_as_they_are_where_nothing_is_new(spark, make_settings, draw):
    frames = {f"a/IMG_{number:04d}.jpg": jpeg(80, number, NOON + timedelta(seconds=number)) for number in range(3)}
    frames |= {f"b/{number}.jpg": jpeg(90, 50 + number) for number in range(2)}
    folder = draw({name: content for name, content in frames.items() if name != "a/IMG_0001.jpg"})
    settings = make_settings({"sources.images": str(folder)})
    ingest.run(spark, settings)
    draw(frames)  # the frame between the two others arrives late
    ingest.run(spark, settings)
    burst = "?/files IMG_/0/2024-06-01T12:00:00"
    assert rows(Tables.of(spark, settings), "burst_id")[:3] == [(burst,)] * 3
    again = ingest.run(spark, settings)
    assert (again.read, again.written) == (0, 0)


def test_an_evaluation_says_how_many_of_its_groups_are_guesses(spark):
    groups = ["S/2024-06-01T12:00:00"] * 3 + ["?/files IMG_/2024-06-01T12:00:00"] * 2 + ["0" * 64, "?/camera a/x"]
    table = [(str(number), [1.0], "hare", group, group) for number, group in enumerate(groups)]
    columns = "content_hash string, features array<float>, label string, burst_id string, group_id string"
    labelled = TrainingSet.collect(spark.createDataFrame(table, columns))
    (caveat,) = group_caveats(labelled)
    assert caveat.startswith(
        "The groups of 3 of 7 images are guessed: found by file name and time, station and camera are unknown "
        "(2), of one image each, station and camera or time are unknown (1). "
    )
    assert group_caveats(labelled.where(labelled.images["group_id"].str.startswith("S/").to_numpy())) == []


def test_exif_times_of_real_cameras_give_the_sequences_that_people_found(spark, make_settings, shared_data, tmp_path):
    folder, labels = shared_data / "cameratrap_peru_sdzg", tmp_path / "labels.csv"
    truth = pd.read_csv(folder / "labels.csv")
    truth[["file_name", "station", "camera", "label"]].to_csv(labels, index=False)  # neither time nor sequence
    rules = {"sources.images": str(folder), "sources.labels": str(labels), "ingest.burst_gap_seconds": 30}
    settings = make_settings(rules)
    ingest.run(spark, settings)
    found = pd.DataFrame(rows(Tables.of(spark, settings), "path", "burst_id"), columns=["path", "burst"])
    found["path"] = found["path"].str.replace(f"file://{folder}/", "", regex=False)
    expected = {frozenset(names) for names in truth.groupby("seq_id")["file_name"].agg(list)}
    assert {frozenset(names) for names in found.groupby("burst")["path"].agg(list)} == expected
