"""The bundle of the serving endpoint: as it would be deployed, and what the CLI and the service refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.app import main
from pipelines.databricks.bundle import read_bundle, render
from pipelines.tracking.served_models import SUFFIX

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "deploy" / "databricks" / "serving"
SCHEMA = ROOT / ".." / "shared" / "schemas" / "databricks-bundle.schema.json"
PROD = {"model_version": "3", "notify": "wildlife@example.org", "service_principal": "app"}


def endpoint(target, variables=None, user=None):
    return render(target, variables or PROD, user=user, folder=BUNDLE)["resources"]["model_serving_endpoints"]["irbis"]


def test_prod_serves_one_version_and_does_not_stop():
    assert endpoint("prod") == {
        "name": "irbis-prod",
        "description": "Takes images, returns labels.",
        "config": {
            "served_entities": [
                {
                    "name": "irbis-3",
                    "entity_name": "main.irbis_prod.irbis_serving",
                    "entity_version": "3",
                    "workload_type": "CPU",
                    "workload_size": "Small",
                    "scale_to_zero_enabled": False,
                }
            ],
            "traffic_config": {"routes": [{"served_model_name": "irbis-3", "traffic_percentage": 100}]},
        },
        "email_notifications": {"on_update_failure": ["wildlife@example.org"]},
        "tags": [{"key": "project", "value": "irbis"}, {"key": "target", "value": "prod"}],
    }


def test_dev_is_an_endpoint_of_its_own_that_stops_without_requests():
    found = endpoint("dev", {"model_version": "12"}, user="a.ranger@example.org")
    assert found["name"] == "dev_a_ranger_irbis-dev" and re.fullmatch(r"[\w-]{1,63}", found["name"])
    (entity,) = found["config"]["served_entities"]
    assert entity["scale_to_zero_enabled"] is True and entity["entity_version"] == "12"
    assert found["email_notifications"] == {"on_update_failure": ["a.ranger@example.org"]}
    assert endpoint("dev")["name"] == "dev_${workspace.current_user.short_name}_irbis-dev"


def test_the_traffic_goes_to_served_entities_and_adds_up():
    config = endpoint("prod")["config"]
    names = {entity["name"] for entity in config["served_entities"]}
    assert {route["served_model_name"] for route in config["traffic_config"]["routes"]} <= names
    assert sum(route["traffic_percentage"] for route in config["traffic_config"]["routes"]) == 100


def test_the_model_is_the_one_that_train_registers():
    jobs = read_bundle(BUNDLE.parent).tree["variables"]["settings"]["default"]
    assert "tracking.model=${var.catalog}.${var.schema}.irbis" in jobs
    assert endpoint("prod")["config"]["served_entities"][0]["entity_name"] == f"main.irbis_prod.irbis{SUFFIX}"


def test_the_bundle_has_no_run_as_which_the_cli_refuses_for_endpoints():
    tree = read_bundle(BUNDLE).tree
    assert all("run_as" not in each for each in (tree, *tree["targets"].values()))


def test_every_variable_is_used_and_only_what_differs_must_be_given():
    text = (BUNDLE / "databricks.yml").read_text("utf-8")
    declared = read_bundle(BUNDLE).tree["variables"]
    assert set(re.findall(r"\$\{var\.(\w+)", text)) == set(declared)
    needed = [name for name, about in declared.items() if "default" not in about]
    assert needed == ["model_version", "notify", "service_principal"]


def test_the_command_prints_the_endpoint(capsys):
    variables = [word for name, value in PROD.items() for word in ("--var", f"{name}={value}")]
    main(["bundle", "render", str(BUNDLE), "--target", "prod", *variables])
    assert json.loads(capsys.readouterr().out) == {"irbis": endpoint("prod")}


def test_the_endpoint_survives_the_sdk_unchanged():
    serving = pytest.importorskip("databricks.sdk.service.serving")
    found = endpoint("prod")
    config = serving.EndpointCoreConfigInput.from_dict({"name": found["name"], **found["config"]}).as_dict()
    assert config == {"name": found["name"], **found["config"]}
    assert serving.EmailNotifications.from_dict(found["email_notifications"]).as_dict() == found["email_notifications"]
    assert [serving.EndpointTag.from_dict(tag).as_dict() for tag in found["tags"]] == found["tags"]


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"needs {SCHEMA}")
@pytest.mark.process
def test_the_bundle_is_valid_against_the_schema():
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), str(BUNDLE / "databricks.yml")]
    assert subprocess.run(command, capture_output=True).returncode == 0
