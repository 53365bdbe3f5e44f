"""What is written for spreadsheets and into comments is read as the text that it is."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from pipelines.reports.scoring_summary import _as_cells, as_cell
from pipelines.reports.staleness import comment_of


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-2+3", "@x", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_a_text_that_begins_like_a_formula_follows_an_apostrophe(text):
    assert as_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["leopard", "a=b", "-12.5", "+3e4", "", None, -3, 0.5, True])
def test_numbers_and_other_texts_stay(value):
    assert as_cell(value) is value


def test_in_a_table_only_such_texts_change():
    frame = pd.DataFrame({"station": ["=1", "S1", None], "score": [-0.5, 0.25, float("nan")]})
    assert frame.apply(_as_cells).to_csv(index=False) == "station,score\n'=1,-0.5\nS1,0.25\n,\n"


@pytest.mark.parametrize("title", ["a --> b", "--->", "----!>", "<!-- a", "a -- b > c"])
def test_no_title_ends_the_comment_of_a_page_early(title):
    comment = comment_of({"settings": {"title": title}})
    inner = re.fullmatch(r"\n<!-- made of ([^>]*) -->\n", comment)[1]
    assert json.loads(inner) == {"settings": {"title": title}}
