"""What MLflow has lost is said in one sentence before any work is done, and no version becomes champion unexamined."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.config.loader import load_settings
from pipelines.tracking.mlflow_client import Tracking

from ..stages.conftest import RULES, survey_images
from .conftest import COMMAND

SETTINGS = [f"--set={key}={value}" for key, value in {**RULES, "report.gallery_size": 2}.items()]


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Return a folder with the images of a survey and the workspace of a whole run on them."""
    folder = tmp_path_factory.mktemp("survey")
    for name, content in survey_images().items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    words = [*COMMAND, "run", "--images", "images", "--workspace", "whole", *SETTINGS]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=_env(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def _env(folder):
    """Return the environment of the command, without the variables that MLflow sets in the process of the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "IRBIS_RUNS__HISTORY_DIR": str(folder / "ledger")}


@pytest.fixture
def lost(survey, tmp_path):
    """Return a function that runs a command on a copy of the workspace with the sources of the survey."""
    shutil.copytree(survey / "whole", tmp_path / "whole", copy_function=shutil.copy2)

    def ask(*words, code=2):
        places = ["--images", str(survey / "images"), "--workspace", str(tmp_path / "whole")]
        command = [*COMMAND, words[0], *places, *SETTINGS, *words[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=_env(tmp_path))
        assert done.returncode == code, f"{done.stdout}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
        return done

    return ask


def left(folder: Path) -> set[tuple[str, int]]:
    """Return the files of a workspace that a stage would change."""
    return {
        (str(file), file.stat().st_mtime_ns)
        for part in ("tables", "artifacts", "reports")
        for file in [folder / part, *folder.glob(f"{part}/**/*")]
        if file.is_file()
    }


def empty(workspace):
    (workspace / "mlflow.db").write_bytes(b"")


def remove(workspace):
    (workspace / "mlflow.db").unlink()


def begin_anew(workspace):
    """Put the database of another workspace, in which nothing was trained yet, in its place."""
    (workspace / "mlflow.db").unlink()
    other = workspace.parent / "other"
    Tracking.of(load_settings(None, {"workspace": str(other)}))
    shutil.copy(other / "mlflow.db", workspace)


@pytest.mark.parametrize(
    ("lose", "reason", "commands"),
    [
        (empty, "is empty", [["run"], ["train", "--set=train.reg_params=0.05"], ["score"], ["status"]]),
        (remove, "is missing", [["run"]]),
        (begin_anew, "has no runs", [["run"]]),
    ],
)
def test_a_database_that_was_lost_is_said_before_any_work(lost, tmp_path, lose, reason, commands):
    workspace = tmp_path / "whole"
    lose(workspace)
    before = left(workspace)
    for words in commands:
        said = lost(*words).stderr.strip()
        assert said == (
            f"irbis: {workspace}/mlflow.db {reason}: it lists the models in {workspace}/artifacts (1 there), and "
            "which of them is champion. Restore it from a backup. To start again with the same tables, move it and "
            f"{workspace}/artifacts away, and train under another name: --set tracking.model=NAME."
        )
    assert left(workspace) == before


def test_a_new_database_beside_old_predictions_gives_no_champion_unexamined(lost, tmp_path):
    """An MLflow server that was lost leaves no artifacts in the workspace: the table predictions remembers."""
    server = f"--set=tracking.uri=sqlite:///{tmp_path}/other.db"
    said = lost("train", server).stderr
    assert "irbis: Table predictions " in said
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        assert database.execute("SELECT count(*) FROM model_versions").fetchone() == (0,)
    assert (
        "irbis2/1 is champion: the first version" in lost("train", server, "--set=tracking.model=irbis2", code=0).stdout
    )


@pytest.mark.parametrize(
    ("file", "commands"), [("model/MLmodel", ["run", "train", "score", "report"]), ("evaluation.json", ["run"])]
)
def test_files_of_the_champion_that_are_gone_are_said_before_any_work(lost, tmp_path, file, commands):
    workspace = tmp_path / "whole"
    (root,) = (workspace / "artifacts").glob("*/artifacts")
    (root / file).unlink()
    before = left(workspace)
    for command in commands:
        assert lost(command).stderr.strip() == (
            f"irbis: {file} of irbis/1 is missing from {root}. Restore it from a backup; or choose another version: "
            "`irbis promote VERSION --reason ...`; or train under another name: --set tracking.model=NAME."
        )
    assert left(workspace) == before


def test_a_model_that_was_changed_is_not_loaded_and_the_next_run_looks(lost, tmp_path):
    workspace = tmp_path / "whole"
    (root,) = (workspace / "artifacts").glob("*/artifacts/model")
    with closing(sqlite3.connect(workspace / "mlflow.db")) as database:
        aliases = database.execute("SELECT name, version FROM registered_model_aliases ORDER BY name").fetchall()
    assert aliases == [("irbis", 1), ("irbis_serving", 1)]
    (root / "requirements.txt").write_text("malware")
    done = lost("train", "--set=train.reg_params=0.05")
    assert "irbis: The files of irbis/1 are not loaded: they have changed since registration" in done.stderr
    done = lost("run", code=0)  # nothing is to be done with it, and nobody says so without a look
    assert "Nothing has changed" not in done.stderr and "train: 0 read" in done.stdout
