"""The notebooks, each executed in a kernel with its own Spark, on one workspace: what a reader sees."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipelines.cli.app import main
from pipelines.config.loader import load_settings
from pipelines.errors import DataError
from pipelines.notebooks.execute import REQUIRED_PACKAGES

from ..stages.conftest import RULES, jpeg

missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")

ENCOUNTERS, FRAMES = 40, 2
MISLABELLED = (7, 16, 30)  # of which the first two are in the test split
CHOSEN = {**RULES, "train.cv_folds": "0", "train.reg_params": "0.1", "spark.master": "local[2]"}
SETTINGS = shlex.join(f"{key}={value}" for key, value in CHOSEN.items())


def survey(folder):
    """Write 40 encounters of two frames at two stations; three are in the folder of the other label."""
    for encounter in range(ENCOUNTERS):
        looks = ("plain", "striped")[encounter % 2]
        label = {"plain": "striped", "striped": "plain"}[looks] if encounter in MISLABELLED else looks
        for frame in range(FRAMES):
            at = datetime(2024, 6, 1) + timedelta(hours=2 * encounter, seconds=frame)
            path = folder / f"S{encounter % 4 // 2}" / label / f"{encounter:03}_{frame}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(90 + encounter, 10 * encounter + frame, at, looks))
    for label, frame in (("plain", 0), ("striped", 1)):  # one burst, and one image, of two labels
        at = datetime(2024, 6, 1) + timedelta(hours=2 * ENCOUNTERS, seconds=frame)
        (folder / "S1" / label / f"{ENCOUNTERS:03}_{frame}.jpg").write_bytes(jpeg(100, 5000 + frame, at, "plain"))
        (folder / "S1" / label / "same.jpg").write_bytes(jpeg(100, 6000))
    (folder / "S0" / "plain" / "bad.jpg").write_bytes(b"<html>")
    return folder


def new_images(folder):
    for place in range(6):
        path = folder / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        at = datetime(2024, 8, 1, place)
        path.write_bytes(jpeg(100, 1000 + place, at, ("plain", "striped")[place % 2]))
    (folder / "empty.jpg").write_bytes(b"")
    return folder


class ExecutedNotebook:
    """An executed copy: the output of each code cell, by the code."""

    def __init__(self, file):
        self.cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        self.page = file.with_suffix(".html").read_text(encoding="utf-8")
        self.code = {"".join(c["source"]): c["outputs"] for c in self.cells if c["cell_type"] == "code"}

    def html(self, code):
        (output,) = self.code[code]
        return "".join(output["data"]["text/html"])

    def text(self, code):
        body = self.html(code).partition("</style>")[2]
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\N{NARROW NO-BREAK SPACE}", " ").split())

    def names(self, code):
        """Return the names of the images shown below a cell."""
        shown = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^",]+)', self.html(code))
        assert len(shown) == self.html(code).count("<figure")
        return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    survey(folder / "survey"), new_images(folder / "new")
    return folder


def execute(folder, name, *words):
    main(["notebook", "run", name, "--workspace", str(folder / "w"), *words])
    (copy,) = (folder / "w" / "notebooks").glob(f"*_{name}*.ipynb")
    return ExecutedNotebook(copy)


@pytest.fixture(scope="module")
def walkthrough(folder):
    """Execute the first notebook, which creates the workspace of the others."""
    sets = [word for key, value in CHOSEN.items() for word in ("--set", f"{key}={value}")]
    return execute(folder, "walkthrough", "--images", str(folder / "survey"), "-p", "gallery_size=5", *sets)


@pytest.fixture(scope="module")
def explore(folder, walkthrough):
    return execute(folder, "explore", "-p", "gallery_size=3", "-p", f"settings={SETTINGS}")


@pytest.fixture(scope="module")
def score(folder, walkthrough):
    return execute(folder, "score", "--images", str(folder / "new"), "-p", f"settings={SETTINGS}")


@pytest.fixture(scope="module")
def settings(folder, walkthrough):
    return load_settings(None, {"workspace": str(folder / "w"), **CHOSEN})


@pytest.fixture(scope="module")
def wrong(spark, settings):
    """Return from the tables all test images, and the names of those predicted wrongly, the highest score first."""
    from pyspark.sql import functions as F

    from pipelines.evaluation.split import assign_split
    from pipelines.workspace.tables import Tables

    tables = Tables.of(spark, settings)
    images = tables.latest_images().where(F.col("path").contains("/survey/") & F.col("failure").isNull())
    split = assign_split(F.col("group_id"), settings.train.fractions, settings.train.split_salt)
    images = images.where(~F.col("path").endswith("same.jpg"))  # of two labels, hence of no split
    rows = images.where(split == "test").join(tables.read("predictions"), ["path", "content_hash"]).collect()
    mistakes = sorted((row for row in rows if row["label"] != row["prediction"]), key=lambda row: -row["score"])
    assert len(mistakes) >= 2 and len(rows) > len(mistakes)
    return rows, [Path(row["path"]).name for row in mistakes]


@pytest.mark.parametrize("name", ["walkthrough", "explore", "score"])
def test_an_executed_notebook_has_no_error_no_noise_and_fetches_nothing(name, request):
    reading = request.getfixturevalue(name)
    kinds = [output["output_type"] for outputs in reading.code.values() for output in outputs]
    assert set(kinds) == {"execute_result"}  # no stream: neither Spark nor MLflow nor a bar has said anything
    assert all(len(outputs) <= 1 for outputs in reading.code.values())
    assert not re.search(r"<(script|link|iframe)\b", reading.page)
    assert reading.page.count("<figure") == sum("".join(str(o)).count("<figure") for o in reading.code.values())


def test_the_walkthrough_shows_each_step_of_the_five_stages(folder, walkthrough):
    injected = next(code for code in walkthrough.code if code.startswith("# Parameters"))
    assert f'images = "{folder}/survey"' in injected and "gallery_size = 5" in injected
    assert "train.bootstrap_resamples=100" in injected and "sources.station=folder:1" in injected
    text = walkthrough.text
    assert text("run(ingest, spark, config)").startswith("Stage ingest Read 85 Written 84 Failed 1 Time")
    assert "Failed: 1 not_an_image" in text("run(ingest, spark, config)")
    assert len(walkthrough.names('views.images(values["gallery_size"])')) == 5
    assert "Files 85 Distinct images 84 Labelled 85 Stations 2" in text('views.section("data")')
    assert re.search(r"not_an_image 1 file:///\S+/S0/plain/bad.jpg an HTML page", text('views.section("data")'))
    assert "Read 84 Written 83 Failed 1" in text("run(featurize, spark, config)")
    assert text("views.features()").startswith("Distinct images 84 Without features 1 Feature dimension 576")
    assert 'aria-label="The features of 83 labelled images' in walkthrough.html("views.features()")
    assert "irbis/1 is champion: the first version" in text("run(train, spark, config)")
    assert re.search(r"Balanced accuracy \d\d\.\d % \d\d\.\d to ", text('views.section("short")'))
    assert "Thresholds were chosen on held-out groups" in text('views.section("evaluation")')
    assert "Read 85 Written 84 Failed 1" in text("run(score, spark, config)")
    assert "84 images scored;" in text('views.section("counts")')
    report = folder / "w" / "reports" / "report.html"
    assert report.is_file() and str(report) in text("views.report()")


def test_exploring_shows_the_mistakes_that_the_tables_hold(folder, explore, wrong):
    rows, mistakes = wrong
    head = "config = settings_from_parameters(values)\nerrors = ErrorAnalysis.of(get_session(config), config)\n"
    head += "errors.summary()"
    tiles = rf"Champion irbis/1 Test images {len(rows)} Errors {len(mistakes)} Error rate [\d.]+ % 95 % interval"
    assert re.match(tiles, explore.text(head))
    surest = explore.names('errors.most_wrong(values["gallery_size"], label=values["label"])')
    assert surest == mistakes[:3]
    assert {int(name[:3]) for name in mistakes} == {7, 16}  # the labels are wrong, and so they are found
    least = explore.names('errors.least_confident(values["gallery_size"], label=values["label"])')
    assert least == [Path(row["path"]).name for row in sorted(rows, key=lambda row: row["score"])[:3]]
    kinds = re.findall(r"(\w+) predicted as (\w+) \((\d+)\)", explore.text("errors.most_confused_pairs()"))
    assert sum(int(count) for *_, count in kinds) == len(mistakes)
    stations = re.findall(r"(S\d) (\d+) (\d+) [\d.]+ %", explore.text("errors.by_station()"))
    assert sum(int(images) for _, images, _ in stations) == len(rows)
    assert sum(int(hits) for *_, hits in stations) == len(mistakes)
    hours = re.findall(r"(\d\d):00 (\d+) (\d+) [\d.]+ %", explore.text("errors.by_hour()"))
    assert {int(hour) % 2 for hour, *_ in hours} == {0} and sum(int(n) for _, n, _ in hours) == len(rows)
    place = f"file://{folder}/survey/S1"
    assert explore.text("errors.suspected_label_errors()") == (
        f"Identical images plain {place}/plain/same.jpg striped {place}/striped/same.jpg "
        f"Frames of one burst plain {place}/plain/040_0.jpg striped {place}/striped/040_1.jpg"
    )


def test_a_new_set_is_scored_counted_shown_and_written(folder, score):
    assert "Read 7 Written 6 Failed 1" in score.text("run(ingest, spark, config)")
    summary = score.text("predictions = ScoringSummary.of(spark, config)\npredictions.summary()")
    found = re.match(r"Scored with irbis/1 Images 7 Could not be read 1 Need review (\d)", summary)
    counts = re.findall(r"(plain|striped) (\d) (\d)", score.text("predictions.counts()"))
    assert [(label, int(images)) for label, images, _ in counts] == [("plain", 3), ("striped", 3)]
    to_review = sum(int(count) for *_, count in counts)
    assert int(found[1]) == to_review + 1  # and the one that could not be read
    assert len(set(score.names('predictions.to_review(values["gallery_size"])'))) == to_review
    assert re.search(r"empty 1 file:///\S+/new/empty.jpg no bytes", score.text("predictions.failures()"))
    csv = folder / "w" / "results" / "new-irbis-1.csv"
    assert score.text('predictions.write_csv(values["csv"])') == f"Results Rows {csv} 7"
    results = pd.read_csv(csv)
    assert [Path(path).name for path in results["path"]] == [*(f"{place}.jpg" for place in range(6)), "empty.jpg"]
    assert results["prediction"].tolist()[:6] == ["plain", "striped"] * 3
    assert results["failure"].tolist()[-1] == "empty" and results["needs_review"].tolist()[-1]
    both = results["probability_plain"] + results["probability_striped"]
    assert both.tolist()[:6] == pytest.approx([1] * 6)


def test_a_label_that_no_test_image_has_is_answered_with_the_known_ones(spark, settings):
    from pipelines.reports.error_analysis import ErrorAnalysis

    mistakes = ErrorAnalysis.of(spark, settings)
    with pytest.raises(DataError, match=r"label = fox: no test image has it\. Known: plain, striped"):
        mistakes.most_wrong(3, label="fox")
    assert mistakes.most_wrong(100, label="plain").html.count("<figure") < mistakes.most_wrong(100).html.count(
        "<figure"
    )


def test_a_new_set_without_images_stops_at_once(folder, walkthrough, capsys):
    with pytest.raises(SystemExit) as left:
        main(["notebook", "run", "score", "--workspace", str(folder / "w"), "-p", "csv=none"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "irbis: Notebook 03_score_new_set failed in cell 4: SettingsError: Parameter images is empty."
    )
    assert "Traceback" not in said and said.count("\n") == 1
    copy = Path(said.strip().rpartition("there: ")[2]).with_suffix(".ipynb")
    assert '"ename": "SettingsError"' in copy.read_text()
    copy.unlink()
