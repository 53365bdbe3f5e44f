"""Exports: rows, filters, counts, files."""

from __future__ import annotations

import csv

import pytest

from pipelines.exchange.export import export

from .made import make_survey


@pytest.fixture
def survey(tables):
    make_survey(tables)
    return tables


def read_csv(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_flat_has_a_row_for_each_image(survey, spark, make_settings, tmp_path):
    result = export(spark, make_settings(), "flat", tmp_path / "out")
    rows = {row["path"]: row for row in read_csv(tmp_path / "out" / "images.csv")}
    assert list(rows) == sorted(rows)
    print(rows, result)
