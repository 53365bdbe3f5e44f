"""Times in labels files: what is understood, implausible or refused."""

from __future__ import annotations

from datetime import datetime, timezone

import pandas as pd
import pytest

from pipelines.sources.labels import read_label_table
from tests.sources.labels_file import read, refused

NOW = datetime(2025, 3, 4, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("written", "is_known"),
    [
        ("0001-01-01 00:00:00", False),
        ("1582-10-15", False),
        ("2024-05-01", False),  # a day is no moment: all of its images would be one burst
        ("1899-12-30 00:00:00", False),
        ("1900-01-00 00:00:00", False),
        ("1969-12-31T23:59:59Z", False),
        ("1970-01-01 12:00:00", False),
        ("1970-01-02 00:00:00", True),
        ("1980-01-01 00:03:12", False),
        ("1980-01-02 00:00:00", True),
        ("2000:01:01 00:00:00", False),
        ("2025-03-05 12:00:00", True),
        ("2025-03-05 12:00:01", False),
        ("2262-04-12 00:00:00", False),
        ("9999-12-31 23:59:59", False),
    ],
)
def test_a_time_that_cannot_be_is_unknown_and_counted(tmp_path, written, is_known):
    (tmp_path / "labels.csv").write_text(f"path,label,datetime\n1.jpg,cat,{written}\n2.jpg,cat,2024-05-01 06:00\n")
    table = read_label_table(str(tmp_path / "labels.csv"), now=NOW)
    assert list(table.rows["captured_at"].notna()) == [is_known, True]
    notes = [] if is_known else [f"labels.csv: 1 times are implausible, first {written!r}"]
    assert [note.partition(" (")[0] for note in table.notes] == notes


def test_serial_numbers_of_excel_are_refused_with_a_remedy(tmp_path):
    (fault,) = refused(tmp_path, "path,label,datetime\n1.jpg,cat,45000.25\n")
    assert "first '45000.25'" in fault and fault.endswith(
        "give the column the format yyyy-mm-dd hh:mm:ss and save again."
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2014-07-01 15:22:09", "2014-07-01 15:22:09"),
        ("2014-07-01T15:22:09", "2014-07-01 15:22:09"),
        ("2014:07:01 15:22:09", "2014-07-01 15:22:09"),
        ("2014-07-01 15:22", "2014-07-01 15:22"),
        ("2014-07-01", None),
        ("2014-07-01T15:22:09.250Z", "2014-07-01 15:22:09.250"),
        ("2014-07-01T10:22:09-05:00", "2014-07-01 15:22:09"),
        ("0000:00:00 00:00:00", None),
        ("", None),
    ],
)
def test_times_are_read_as_iso_and_exif_write_them(tmp_path, written, expected):
    text = f"path,label,captured_at\n1.jpg,cat,{written}\n2.jpg,cat,2020-01-01 00:00:00\n"
    times = [row["captured_at"] for row in read(tmp_path, text)]
    assert times == [expected and pd.Timestamp(expected, tz="UTC"), pd.Timestamp("2020-01-01", tz="UTC")]


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("2014-07-01T15:22:09+02:00", "", 1),
        ("2014-07-01T15:22:09Z", "2014-07-01 15:22:10", 1),
        ("2014-07-01T15:22:09+02:00", "2014-07-01T13:22:10Z", 0),
        ("2014-07-01 15:22:09", "", 0),
    ],
)
def test_times_of_which_only_some_have_an_offset_are_reported(tmp_path, first, second, count):
    (tmp_path / "labels.csv").write_text(f"path,label,captured_at\n1.jpg,cat,{first}\n2.jpg,cat,{second}\n")
    notes = read_label_table(str(tmp_path / "labels.csv")).notes
    assert len(notes) == count
    assert all(note.startswith("labels.csv: 1 of 2 rows have a time with a UTC offset") for note in notes)


def test_times_may_all_be_missing(tmp_path):
    assert read(tmp_path, "path,label,captured_at\n1.jpg,cat,\n")[0]["captured_at"] is None


WRITE_THEM = "Write them as 2014-07-01 15:22:09, or leave the column out: --set sources.columns.captured_at=."


@pytest.mark.parametrize("written", ["01/07/2014 15:22", "07/01/2014", "1.7.2014", "2014-13-01", "noon", "20", "2014"])
def test_times_that_would_have_to_be_guessed_are_refused(tmp_path, written):
    assert refused(tmp_path, f"path,label,datetime\n1.jpg,cat,2014-07-01\n2.jpg,cat,{written}\n") == [
        f"{tmp_path}/labels.csv has 1 times that cannot be read, first {written!r}. {WRITE_THEM}"
    ]
