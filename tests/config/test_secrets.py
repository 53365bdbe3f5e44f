"""Secrets among the settings are never printed, whatever is wrong with them."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from pipelines.config.loader import (
    load_settings,
)
from tests.config.refusals import faults, write


def test_credentials_of_azure_do_not_print_wherever_they_stand():
    from pipelines.cli.app import irbis

    settings = load_settings(None, {"azure.account_key": "a2V5", "azure.sas": "sig=abc"})
    assert "a2V5" not in repr(settings) and "abc" not in repr(settings.model_dump())
    words = ["config", "--set", "azure.account_key=a2V5", "--set", "azure.connection_string=Account=a2V5"]
    shown = CliRunner().invoke(irbis, words).output
    assert "a2V5" not in shown
    lines = {line.split()[0]: line.split()[1] for line in shown.splitlines()}
    assert (lines["azure.account_key"], lines["azure.sas"]) == ('"***"', "null")


def test_a_refused_value_does_not_print_its_secret():
    assert faults(None, {"spark.driver_memory": "https://u:pw@h?sig=abc"})[0].startswith(
        "--set: spark.driver_memory = 'https://u:***@h?sig=***' is refused"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hdinsight.password", 12345678),
        ("hdinsight.token", ["12345678"]),
        ("azure.account_key", {"a": 12345678}),
        ("spark.conf", '{"spark.x.password": "12345678", "spark.y": 1'),
        ("spark.conf", '{"spark.x.password": ["12345678"]}'),
        ("spark.conf", {"spark.x.password": {"a": 12345678}}),
        ("spark.conf", '[{"password": "12345678"}]'),
        ("train.cv_folds", "password=12345678"),
    ],
)
def test_a_refused_secret_of_any_type_does_not_print(key, value):
    (fault,) = faults(None, {key: value})
    assert f"{key} = " in fault and "***" in fault and "12345678" not in fault


@pytest.mark.parametrize("value", ["*hunter22", "!hunter22 x", "&hunter22 x\n  token: &hunter22 y"])
def test_a_secret_that_is_no_yaml_does_not_print(value, tmp_path):
    said = faults(write(tmp_path / "mine.yaml", f"hdinsight:\n  password: {value}\n"))[0]
    assert re.search(r"mine\.yaml line \d is not valid YAML", said) and "hunter22" not in said


def test_config_shows_no_secret_of_a_text_of_json(monkeypatch):
    from pipelines.cli.app import irbis

    monkeypatch.setenv("IRBIS_SPARK__CONF", '{"spark.x.password": "hunter22", "spark.y": "1"}')
    shown = CliRunner().invoke(irbis, ["config", "--set", "hdinsight.password=hunter22"]).output
    (line,) = [line for line in shown.splitlines() if line.startswith("spark.conf ")]
    assert r"{\"spark.x.password\": \"***\", \"spark.y\": \"1\"}" in line and "hunter22" not in shown
    (fault,) = faults_of_command(["config", "--set", "hdinsight.password:hunter22"])
    assert fault == "--set hdinsight.password:***: write KEY=VALUE, such as --set train.max_iter=50."


def faults_of_command(words):
    from pipelines.cli.app import irbis

    return CliRunner().invoke(irbis, words).exception.faults
