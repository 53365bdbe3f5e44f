"""What the formats read from their files, without Spark."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats import timelapse, wildlife_insights
from pipelines.exchange.matching import match_rows

from .made import write


def test_wildlife_insights_tells_people_from_the_computer(tmp_path):
    text = (
        "deployment_id,is_blank,genus,species,common_name,filename,identified_by,timestamp\n"
        "D1,0,Vulpes,vulpes,Red Fox,a.jpg,Ann Example,2024-05-01 10:00:00\n"
        "D1,1,,,Blank,b.jpg,Computer vision,2024-05-01 10:01:00\n"
    )
    imported = wildlife_insights.read(write(tmp_path / "images.csv", text), settings())
    assert imported.labels[["label", "station", "reviewer", "is_machine"]].values.tolist() == [
        ["Red Fox", "D1", "Ann Example", False],
        ["Blank", "D1", "Computer vision", True],
    ]
    found = match_rows(imported, "images.csv", ["D1/cam/a.jpg", "D1/cam/b.jpg", "D2/a.jpg"], "", False)
    assert found.rows[["relative_path", "label"]].values.tolist() == [["D1/cam/a.jpg", "Red Fox"]]
    assert found.ignored == 1


def settings(**columns):
    from pipelines.config.loader import load_settings

    return load_settings(None, {"export.columns": columns})


def test_timelapse_reads_the_column_that_the_template_has_for_the_label(tmp_path):
    text = "File,RelativePath,DateTime,Art,Wo\na.jpg,S1\\x,2024-05-01 10:00:00,fox,site 1\n"
    file = write(tmp_path / "data.csv", text)
    with pytest.raises(DataError, match="has no column label"):
        timelapse.read(file, settings())
    imported = timelapse.read(file, settings(Art="final_label", Wo="station", Gone="comment"))
    row = imported.labels.iloc[0]
    assert (row["path"], row["label"], row["station"]) == ("S1/x/a.jpg", "fox", "site 1")
