from __future__ import annotations

from datetime import datetime

import pytest

from pipelines import formatting
from pipelines.evaluation.results import Interval


def test_counts_percentages_and_times_are_formatted_for_people():
    assert formatting.format_count(48210) == "48,210"
    assert formatting.format_percent(0.8484) == "84.8\u202f%"
    assert formatting.format_interval(Interval(0.8, 0.791, 0.902)) == "79.1 to 90.2\u202f%"
    assert formatting.format_interval(Interval(0.8)) == ""
    assert formatting.pluralize(1, "image") == "1 image"
    assert formatting.pluralize(1200, "image") == "1,200 images"
    assert formatting.format_datetime(datetime(2014, 7, 1, 15, 22, 9)) == "2014-07-01 15:22"
    assert [
        formatting.format_count(None),
        formatting.format_percent(float("nan")),
        formatting.format_datetime(None),
        formatting.format_date(None),
    ] == ["–"] * 4


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-2+3", "@x", "\t=1", "\r=1", "'=1", '=HYPERLINK("http://x")'])
def test_a_text_that_begins_like_a_formula_follows_an_apostrophe(text):
    assert formatting.escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["leopard", "a=b", "'fox", "-12.5", "+3e4", "", None, -3, 0.5, True])
def test_numbers_and_other_texts_stay(value):
    assert formatting.escape_formula(value) is value


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("wasbs://c@a/deer/IMG 1.JPG", "IMG 1.JPG"),
        ("C:\\images\\a.jpg", "a.jpg"),
        ("a.jpg", "a.jpg"),
        ("/data/folder/", "folder"),
        ("", ""),
    ],
)
def test_file_name_is_the_last_part_of_a_path(path, name):
    assert formatting.file_name(path) == name


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "https://example.org/a.jpg",
        "javascript:alert(1)",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
    ],
)
def test_only_images_held_in_the_uri_itself_are_shown(uri):
    assert formatting.safe_data_uri(uri) is None
    assert formatting.safe_data_uri("data:image/png;base64,AAAA=") == "data:image/png;base64,AAAA="


def test_sanitize_text_leaves_other_values_alone():
    assert formatting.sanitize_text(3) == 3
    assert formatting.sanitize_text("line\nbreak\x00") == "line\nbreak␀"
