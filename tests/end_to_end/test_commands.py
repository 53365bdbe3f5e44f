"""What users type, and what they type wrong: one line that says what to do, exit code 2, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import closing_lines

ROOT = Path(__file__).resolve().parents[2]


def test_wrong_settings_are_all_named_at_once(irbis):
    done = irbis("train", "--set", "train.max_itre=3", "--set", "featurize.batch_size=many", code=2)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "irbis: --set has an unknown key 'train.max_itre'. Did you mean 'train.max_iter'?",
        "irbis: --set: featurize.batch_size = 'many' is refused: input should be a valid integer, "
        "unable to parse string as an integer.",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ingest"], "irbis: sources.images is not set. Give a folder of images or a container: --images DIR."),
        (["featurize"], "`irbis ingest --images DIR`"),
        (["score"], "`irbis train`"),
        (["featurize", "--backbone", "resnet51"], "featurize.backbone = resnet51: not known. Did you mean 'resnet50'?"),
        (["run", "--env", "nowhere"], "irbis: --env nowhere: there is no conf/nowhere.yaml. Known: "),
        (["promote", "3", "--reason", "it is better"], "irbis: Model irbis has no version 3. Known: none."),
        (["rollback", "--reason", "it was better"], "`irbis train`"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml"),
        (["sweep", str(ROOT / "conf/sweeps/penalties.yaml")], "`irbis ingest --images DIR`"),
        (["train", "--compare-splits"], "irbis: There is no table features in"),
        (["train", "--set", "max_iter"], "irbis: --set max_iter: write KEY=VALUE"),
        (["notebook", "run", "walkabout"], "irbis: There is no notebook walkabout. Known: 01_walkthrough, 02_explore"),
        (
            ["notebook", "run", "explore", "-p", "gallery_size"],
            "irbis: -p gallery_size: write KEY=VALUE, such as -p gallery_size=",
        ),
        (["notebook", "run", "explore", "--images", "new/"], "irbis: Notebook 02_explore_errors: it has no parameter"),
        (
            ["notebook", "run", "explore", "--workspace", "a", "-p", "workspace=b"],
            "irbis: -p workspace=b and --workspace set the same parameter",
        ),
        (
            ["notebook", "run", "explore", "--set", "train.max_itre=3"],
            "has an unknown key 'train.max_itre'. Did you mean",
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(irbis_here, words, message):
    done = irbis_here(*words, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_wrong_folder_is_told_of_before_anything_starts(irbis, tmp_path):
    done = irbis("run", "--images", "nowhere", code=2)
    assert "nowhere" in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # Spark would have begun a log


def test_config_says_where_each_value_comes_from(irbis):
    done = irbis("config", "--workspace", "here", env={"IRBIS_TRAIN__MAX_ITER": "7"})
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert lines["workspace"].split() == ['"here"', "--workspace"]
    assert lines["train.max_iter"].split(maxsplit=1) == ['"7"', "environment variable IRBIS_TRAIN__MAX_ITER"]
    assert lines["score.review_threshold"].split() == ["0.8", "conf/base.yaml"]


def test_the_notebooks_are_listed_with_their_titles(irbis):
    assert irbis("notebook", "list").stdout.splitlines() == [
        "01_walkthrough     From images to predictions",
        "02_explore_errors  Explore the errors of the model",
        "03_score_new_set   Score new images",
    ]


def test_doctor_finds_all_well_and_names_what_is_not(irbis, irbis_here):
    assert all(line.startswith("ok ") for line in irbis("doctor").stdout.splitlines())
    done = irbis_here("doctor", "--weights", "nowhere.pth", code=2)
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed.startswith("FAIL  weights     featurize.weights = nowhere.pth: ")


def test_a_job_file_does_the_same_without_the_command(tmp_path, irbis):
    (tmp_path / "images" / "hare").mkdir(parents=True)
    (tmp_path / "images" / "hare" / "a.jpg").write_bytes(b"")
    (tmp_path / "mine.yaml").write_text("report: {title: Mine}")
    job = [sys.executable, str(ROOT / "jobs" / "ingest.py"), "--env", "mine.yaml", "--images", "images"]
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 read, 0 written, 1 failed (1 empty)" in closing_lines(done.stdout)["ingest"]


@pytest.mark.slow
def test_a_job_runs_under_spark_submit_in_the_session_that_is_there(tmp_path, irbis):
    import importlib.metadata

    import pyspark

    from pipelines.spark.session import DELTA_CONF

    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    version = importlib.metadata.version("delta-spark")
    name = "delta-spark" if version >= "3" else "delta-core"
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]"]
    conf = [word for key, value in DELTA_CONF.items() for word in ("--conf", f"{key}={value}")]
    job = [str(ROOT / "jobs" / "ingest.py"), "--images", "images", "--workspace", "w"]
    environment = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    import os

    def run(*words):
        return subprocess.run(
            [*submit, *words, *job], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    without = run()
    assert without.returncode == 2
    # spark-submit puts what Python says on stderr into its own stdout
    assert "irbis: " in without.stdout and "--packages io.delta:" in without.stdout
    done = run("--packages", f"io.delta:{name}_2.12:{version}", *conf)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 read, 0 written, 1 failed (1 empty)" in closing_lines(done.stdout)["ingest"]
