from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.reports.collect import collect_inputs
from pipelines.stages.report import stage as report
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.workspace.tables import Tables


def page(settings):
    return (Path(settings.workspace) / "reports" / "report.html").read_text(encoding="utf-8")


def test_without_a_table_it_says_what_to_run(spark, make_settings):
    with pytest.raises(DataError, match="`irbis ingest --images DIR`"):
        report.run(spark, make_settings())


def test_before_training_the_report_has_only_the_data(spark, settings):
    result = report.run(spark, settings)
    assert (result.read, result.written) == (181, 1)
    text = page(settings)
    assert "not_an_image" in text and "plain" in text and "data:image/jpeg" not in text


def test_a_page_is_rewritten_only_when_something_has_changed(spark, trained):
    assert report.run(spark, trained).written == 1
    before = page(trained)
    again = report.run(spark, trained)
    assert (again.written, again.outcome.partition(":")[0]) == (0, "unchanged")
    assert page(trained) == before
    score.run(spark, trained)
    assert report.run(spark, trained).written == 1
    assert page(trained) != before
    other = trained.model_copy(update={"report": trained.report.model_copy(update={"title": "Autumn survey"})})
    assert report.run(spark, other).written == 1
    assert "<title>Autumn survey" in page(trained)


def test_what_it_shows_is_what_the_tables_hold(spark, trained):
    score.run(spark, trained)
    champion = train.Tracking.of(trained).champion()
    parts = collect_inputs(Tables.of(spark, trained), trained, champion).parts
    data = parts["data"]
    assert (data.files, data.rows, data.images, data.labelled, data.stations) == (181, 181, 181, 181, 2)
    assert [(each.name, each.count) for each in data.failures] == [("not_an_image", 1)]
    assert data.failures[0].example_path.endswith("bad.jpg")
    labels = {each.label: each for each in data.labels}
    assert {name: each.total for name, each in labels.items()} == {"plain": 91, "striped": 90}
    assert labels["plain"].left_out == 1 and labels["striped"].left_out == 0
    assert sum(each.count for each in parts["predictions"]) == 180
    assert sum(sum(found.values()) for found in parts["by_station"].values()) == 180
    hours = [sum(of_label[hour] for of_label in parts["by_hour"].values()) for hour in range(24)]
    assert hours == [15, 0] * 12  # an encounter of three frames every other hour, for five days
    test = labels["plain"].test + labels["striped"].test
    assert len(parts["least_confident"]) == min(12, test)
    scores = [image.score for image in parts["least_confident"]]
    assert scores == sorted(scores)
    assert all(image.thumbnail.startswith("data:image/jpeg;base64,") for image in parts["least_confident"])
    assert all(image.prediction != image.label for image in parts["most_wrong"])
