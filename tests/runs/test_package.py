"""What goes along with a run: the settings that differ, without secrets, and the wheel of this code."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile

import pytest

from pipelines.config.loader import load_settings, load_sourced_values
from pipelines.errors import PlatformError
from pipelines.runs import package
from pipelines.runs.package import build_wheel, non_default_settings, to_cli_args

pytestmark = pytest.mark.process


def test_only_what_differs_goes_along_and_no_secret():
    given = {
        "train.cv_folds": 3,
        "train.num_trees": 200,
        "azure.sas": "sv=1&sig=x",
        "sources.images": "az://a/b?sig=secret",
    }
    sent, left = non_default_settings(load_sourced_values(None, given))
    assert sent == {"train.cv_folds": 3} and sorted(left) == ["azure.sas", "sources.images"]


def test_a_reference_to_a_secret_is_none():
    sent, left = non_default_settings(load_sourced_values(None, {"azure.account_key": "{{secrets/irbis/key}}"}))
    assert sent == {"azure.account_key": "{{secrets/irbis/key}}"} and left == []


def test_a_secret_among_sparks_own_settings_stays_too():
    given = {"spark.conf.fs.azure.account.key.x": "abc", "spark.master": "local[3]"}
    assert non_default_settings(load_sourced_values(None, given)) == (
        {"spark.master": "local[3]"},
        ["spark.conf.fs.azure.account.key.x"],
    )


@pytest.mark.parametrize("write", [dict, json.dumps])
def test_of_sparks_own_settings_only_those_that_hold_a_secret_stay(write):
    chosen = {
        "spark.kubernetes.namespace": "irbis",
        "spark.authenticate.secret": 1234,
        "spark.driver.extraJavaOptions": "-Dpassword=abc",
        "spark.kubernetes.driver.secretKeyRef.X": "irbis:sas",
    }
    sent, left = non_default_settings(load_sourced_values(None, {"spark.conf": write(chosen)}))
    assert left == ["spark.conf.spark.authenticate.secret", "spark.conf.spark.driver.extraJavaOptions"]
    kept = {"spark.kubernetes.namespace": "irbis", "spark.kubernetes.driver.secretKeyRef.X": "irbis:sas"}
    assert sent == {"spark.conf": kept}


def test_settings_that_went_as_words_come_back_as_they_were():
    from click.testing import CliRunner

    from pipelines.cli.app import irbis

    given = {
        "train.exclude_labels": ["a, b", "c"],
        "train.reg_params": [0.1, 1],
        "train.pca_components": None,
        "featurize.horizontal_flip": True,
        "report.title": "Tost's peaks = all",
        "spark.conf": {"spark.x": "1=2"},
        "sources.images": "/Volumes/a b",
        "sources.labels": "none",
    }
    words = to_cli_args(given)
    assert words[-4:] == ["--images", "/Volumes/a b", "--labels", "none"]
    shown = CliRunner().invoke(irbis, ["config", *words]).output.splitlines()
    values = {line.split()[0]: line for line in shown}
    settings = load_settings(None, given)
    assert '["a, b", "c"]' in values["train.exclude_labels"].replace("\\", "")
    assert settings.train.exclude_labels == ["a, b", "c"]
    assert "Tost's peaks = all" in values["report.title"] and "--images" in values["sources.images"]


def test_the_wheel_of_a_checkout_holds_package_conf_and_jobs(tmp_path):
    wheel = build_wheel(tmp_path)
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"pipelines/cli/app.py", "pipelines/_data/conf/base.yaml", "pipelines/_data/jobs/run.py"} <= names


def test_a_checkout_that_does_not_build_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(
        PlatformError, match=r"wheel of this checkout failed \(no wheel was written\)\. Run `make build`"
    ):
        build_wheel(tmp_path)


def test_what_was_installed_is_packed_again_as_a_wheel_that_runs(tmp_path, monkeypatch):
    with zipfile.ZipFile(build_wheel(tmp_path / "built")) as built:
        built.extractall(tmp_path / "installed")
    found = importlib.metadata.Distribution.at(next((tmp_path / "installed").glob("irbis-*.dist-info")))
    monkeypatch.setattr(package.importlib.metadata, "distribution", lambda name: found)
    monkeypatch.setattr(package.pipelines, "__file__", str(tmp_path / "installed" / "pipelines" / "__init__.py"))
    wheels = [build_wheel(tmp_path / name).read_bytes() for name in ("one", "two")]
    assert wheels[0] == wheels[1]
    again = next((tmp_path / "one").glob("irbis-*-py3-none-any.whl"))
    first = zipfile.ZipFile(next((tmp_path / "built").glob("*.whl")))
    assert {name: first.read(name) for name in first.namelist()} == {
        name: zipfile.ZipFile(again).read(name) for name in zipfile.ZipFile(again).namelist()
    }
    done = subprocess.run([sys.executable, "-c", "import pipelines; print(pipelines.__file__)"], cwd="/",
                          env={"PYTHONPATH": str(again)}, capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip().startswith(str(again))
