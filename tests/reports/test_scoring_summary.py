"""Text in spreadsheets is never a formula."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.reports.scoring_summary import _escape_formulas, escape_formula


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-2+3", "@x", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_a_text_that_begins_like_a_formula_follows_an_apostrophe(text):
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["leopard", "a=b", "-12.5", "+3e4", "", None, -3, 0.5, True])
def test_numbers_and_other_texts_stay(value):
    assert escape_formula(value) is value


def test_in_a_table_only_such_texts_change():
    frame = pd.DataFrame({"station": ["=1", "S1", None], "score": [-0.5, 0.25, float("nan")]})
    assert frame.apply(_escape_formulas).to_csv(index=False) == "station,score\n'=1,-0.5\nS1,0.25\n,\n"
