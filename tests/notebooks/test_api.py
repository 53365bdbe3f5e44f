from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import ModelError, PlatformError, SettingsError
from pipelines.notebooks.api import demo_settings, run, scoring_settings, settings_from_parameters
from pipelines.stages.result import StageResult
from pipelines.workspace.lock import workspace_lock

from .notebook_file import write_notebook

EMPTY = {"workspace": "", "images": "", "labels": "", "backbone": "", "env": "", "settings": "", "gallery_size": 12}
NOISY = """
import sys
from types import SimpleNamespace
from pipelines.config.loader import load_settings
from pipelines.notebooks.api import run
from pipelines.stages.result import StageResult

def work(spark, settings):
    print("loud: 12 of 100 images", file=sys.stderr)
    print("loud")
    return StageResult("loud", 1200, 3, {"empty": 2}, 72.0, ("first  second\\n1      2",), "with <b>")

settings = load_settings(None, {"workspace": workspace})
run(SimpleNamespace(run=work), None, settings)
"""


def test_empty_parameters_are_ignored():
    settings = settings_from_parameters(EMPTY)
    assert (settings.workspace, settings.sources.images, settings.sources.labels) == ("irbis-workspace", None, "folder")


def test_parameters_mean_what_the_options_of_the_command_mean(tmp_path):
    (tmp_path / "mine.yaml").write_text("train: {bootstrap_resamples: 300, max_iter: 7}\nsources: {dataset: autumn}")
    further = "train.max_iter=9 report.title='Autumn survey'"
    given = {
        "workspace": "w",
        "images": "p",
        "backbone": "raw_pixels",
        "settings": further,
        "env": f"{tmp_path}/mine.yaml",
    }
    settings = settings_from_parameters(given)
    assert (settings.workspace, settings.sources.images, settings.sources.dataset) == ("w", "p", None)
    assert (settings.train.bootstrap_resamples, settings.train.max_iter, settings.report.title) == (
        300,
        9,
        "Autumn survey",
    )
    assert settings.featurize.backbone == "raw_pixels"
    with pytest.raises(SettingsError, match=r"--set max_iter: write KEY=VALUE"):
        settings_from_parameters({"settings": "max_iter"})


def test_a_walkthrough_of_own_images_draws_none(tmp_path):
    settings = demo_settings({**EMPTY, "workspace": str(tmp_path / "w"), "images": str(tmp_path / "p")})
    assert (settings.workspace, settings.sources.labels) == (str(tmp_path / "w"), "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_new_set_is_refused_before_anything_is_read_where_nothing_could_score_it(tmp_path):
    with pytest.raises(SettingsError, match="Parameter images is empty"):
        scoring_settings(EMPTY)
    with pytest.raises(ModelError, match="Model irbis has no champion"):
        scoring_settings({**EMPTY, "workspace": str(tmp_path / "w"), "images": "new"})


def test_a_stage_runs_only_while_no_other_process_holds_the_workspace(make_settings):
    settings = make_settings()
    stage = SimpleNamespace(run=lambda spark, settings: StageResult("ingest", 3))
    assert run(stage, None, settings) == StageResult("ingest", 3)
    with workspace_lock(settings.workspace), pytest.raises(PlatformError, match="is working in"):
        run(stage, None, settings)


@pytest.mark.skipif(importlib.util.find_spec("papermill") is None, reason="needs papermill")
@pytest.mark.process
def test_the_progress_output_of_a_stage_is_cleared_when_its_result_is_there(tmp_path, make_settings):
    from pipelines.notebooks.execute import run_notebook
    from pipelines.notebooks.requests import validate_request

    path = write_notebook(tmp_path / "loud.ipynb", ("parameters", "workspace = ''"), ("", NOISY))
    done = run_notebook(validate_request(path, {"workspace": str(tmp_path / "w")}), make_settings())
    (output,) = json.loads(Path(done.copy).read_text())["cells"][-1]["outputs"]
    html = "".join(output["data"]["text/html"])
    assert "<dd>1,200</dd>" in html and "<dd>1 min 12 s</dd>" in html and "Failed: 2 empty" in html
    assert "<pre>first  second\n1      2</pre>" in html and "with &lt;b&gt;" in html
