"""References to secrets; the cluster's own side of it is stood in for, because it cannot be had here."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pipelines.databricks.secrets import resolve_secrets
from pipelines.errors import SettingsError

GIVEN = {"azure.account_key": "{{secrets/surveys/storage}}", "azure.sas": "sv=1&sig=x"}


@pytest.fixture
def databricks(monkeypatch):
    """Return a dictionary that answers as the secret scopes of a cluster."""
    secrets = {}

    def get(scope, key):
        if (scope, key) not in secrets:
            raise RuntimeError(
                f"An error occurred\nSecret does not exist with scope: {scope} and key: {key}\nat x.scala"
            )
        return secrets[scope, key]

    module = ModuleType("pyspark.dbutils")
    module.DBUtils = lambda spark: SimpleNamespace(secrets=SimpleNamespace(get=get))
    monkeypatch.setitem(sys.modules, "pyspark.dbutils", module)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    return secrets


def test_a_reference_becomes_its_secret_and_the_rest_stays(make_settings, spark, databricks):
    databricks["surveys", "storage"] = "a2V5"
    settings = resolve_secrets(make_settings(GIVEN))
    assert settings.azure.account_key.get_secret_value() == "a2V5"
    assert settings.azure.sas.get_secret_value() == "sv=1&sig=x"
    assert settings.azure.connection_string is None
    assert "a2V5" not in repr(settings)


def test_settings_without_references_stay_as_they_are(make_settings):
    settings = make_settings({"azure.sas": "sv=1&sig=x"})
    assert resolve_secrets(settings) is settings


def test_a_secret_that_is_not_there_is_named(make_settings, spark, databricks):
    with pytest.raises(SettingsError, match=r"account_key = {{secrets/surveys/storage}} cannot be read \(Secret d"):
        resolve_secrets(make_settings(GIVEN))


def test_outside_databricks_a_reference_is_refused(make_settings):
    with pytest.raises(SettingsError, match="is a secret of Databricks, and this is not Databricks"):
        resolve_secrets(make_settings(GIVEN))
