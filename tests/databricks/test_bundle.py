"""The bundle as it would be deployed: golden files to the last field, and the rules by which they come about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines import __version__
from pipelines.cli.app import main
from pipelines.databricks.bundle import deep_merge, render, render_resources
from pipelines.errors import SettingsError

GOLDEN = Path(__file__).resolve().parents[1] / "deploy"
DEV = ["bundle", "render", "--target", "dev", "--user", "a.ranger@example.org"]
PROD = [
    *("bundle", "render", "--target", "prod", "--user", "deployer@example.org"),
    *("--var", "service_principal=0f0e0d0c-0000-4000-8000-000000000001", "--var", "notify=wildlife@example.org"),
    *("--var", "catalog=wildlife", "--var", "images=az://camtraps/survey/2026"),
    *("--var", "images_sas={{secrets/irbis/survey-sas}}"),
    *("--var", "arrivals=abfss://survey@camtraps.dfs.core.windows.net/2026/"),
]
SMALL = """
bundle: {name: small}
include: [more.yml]
variables:
  name: {default: a}
  count: {default: 1}
  cluster: {type: complex, default: {num_workers: "${var.count}", node_type_id: "x-${var.name}"}}
  open: {description: given when it is deployed}
  list: {type: complex, default: [one, "two ${var.name}"]}
resources:
  jobs:
    job:
      name: "${bundle.name} ${var.name} ${var.open}"
      tasks:
        - {task_key: first, new_cluster: "${var.cluster}"}
        - {task_key: second, description: "${var.list[1]} ${workspace.file_path}"}
targets:
  plain:
    workspace: {root_path: /Workspace/x}
    variables: {name: b}
    resources:
      jobs:
        job:
          tasks:
            - {task_key: second, max_retries: 3}
  dev: {mode: development}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "databricks.yml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "more.yml").write_text("resources: {jobs: {other: {name: o}}}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("command", "file"), [(DEV, "jobs.dev.json"), (PROD, "jobs.prod.json")])
def test_the_jobs_are_those_of_the_golden_file_to_the_last_field(command, file, capsys):
    """Rewrite a golden file where the change is meant: docs/contributing/verification.md has the two commands."""
    main(command)
    expected = (GOLDEN / file).read_text(encoding="utf-8").replace("VERSION", __version__)
    assert json.loads(capsys.readouterr().out) == json.loads(expected)


@pytest.mark.parametrize("file", ["jobs.dev.json", "jobs.prod.json"])
def test_each_golden_job_survives_the_sdk_unchanged(file):
    service = pytest.importorskip("databricks.sdk.service.jobs")
    found = json.loads((GOLDEN / file).read_text(encoding="utf-8"))
    assert sorted(found) == ["detect", "explain", "nightly", "on_arrival", "sweep", "train"]
    for job in found.values():
        assert service.JobSettings.from_dict(job).as_dict() == job


def test_dev_starts_nothing_by_itself_and_prod_only_nightly():
    dev, prod = (json.loads((GOLDEN / f"jobs.{name}.json").read_text(encoding="utf-8")) for name in ("dev", "prod"))
    assert {job["schedule"]["pause_status"] for job in dev.values() if "schedule" in job} == {"PAUSED"}
    assert {job["trigger"]["pause_status"] for job in [*dev.values(), *prod.values()] if "trigger" in job} == {"PAUSED"}
    assert prod["nightly"]["schedule"]["pause_status"] == "UNPAUSED"
    assert all("run_as" not in job for job in dev.values())
    assert {job["run_as"]["service_principal_name"][:8] for job in prod.values()} == {"0f0e0d0c"}


def test_on_arrival_does_what_nightly_does():
    both = render_resources("dev")
    differing = {key for key in both["nightly"] if both["nightly"].get(key) != both["on_arrival"].get(key)}
    assert differing == {"name", "description", "schedule"}


def test_a_target_overrides_variables_and_adds_to_the_task_of_the_same_key(small):
    job = render_resources("plain", folder=small)["job"]
    assert job["name"] == "small b ${var.open}"
    assert [task["task_key"] for task in job["tasks"]] == ["first", "second"]
    assert job["tasks"][0]["new_cluster"] == {"num_workers": 1, "node_type_id": "x-b"}
    assert job["tasks"][1] == {"task_key": "second", "description": "two b /Workspace/x/files", "max_retries": 3}
    assert render_resources("plain", folder=small)["other"]["name"] == "o"


def test_a_variable_is_given_by_the_command_else_the_environment_else_the_target(small, monkeypatch):
    monkeypatch.setenv("BUNDLE_VAR_name", "c")
    monkeypatch.setenv("BUNDLE_VAR_count", "3")
    job = render_resources("plain", {"open": "o"}, folder=small)["job"]
    assert job["name"] == "small c o"
    assert job["tasks"][0]["new_cluster"]["num_workers"] == 3
    assert render_resources("plain", {"name": "d"}, folder=small)["job"]["name"] == "small d ${var.open}"


def test_what_only_a_workspace_knows_stays_a_reference(small):
    rendered = render("dev", folder=small)
    home = "/Workspace/Users/${workspace.current_user.userName}/.bundle/small/dev"
    assert rendered["workspace"]["file_path"] == f"{home}/files"
    assert rendered["resources"]["jobs"]["job"]["name"].startswith("[dev ${workspace.current_user.short_name}] ")
    assert render("dev", user="a.b@c", folder=small)["resources"]["jobs"]["other"]["name"] == "[dev a_b] o"


def test_trees_are_merged_by_name_and_lists_one_after_the_other():
    assert deep_merge({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2], "d": 3}}) == {"a": {"b": 1, "c": [1, 2], "d": 3}}


@pytest.mark.parametrize(
    ("old", "new", "target", "said"),
    [
        (
            "more.yml",
            "none/*.yml",
            "dev",
            "databricks.yml: include: no file matches none/*.yml. Name one that there is.",
        ),
        ("", "", "live", "The bundle has no target live. Known: plain, dev."),
        ("{name: b}", "{nam: b}", "plain", "databricks.yml: variables: there is no nam. Known: name, count, "),
        ("bundle:", "bundle:\nbundle:", "dev", "duplicate key 'bundle'"),
    ],
)
def test_a_bundle_that_cannot_be_read_is_refused_with_the_reason(old, new, target, said, small):
    (small / "databricks.yml").write_text(SMALL.replace(old, new, 1) if old else SMALL, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        render_resources(target, folder=small)
    assert said in str(caught.value)


def test_a_folder_without_a_bundle_and_a_variable_without_a_value_are_refused(tmp_path, capsys):
    for words, said in [
        (["render", str(tmp_path), "--target", "dev"], "Give the folder of a bundle, such as deploy/databricks."),
        (
            ["render", "--target", "dev", "--var", "catalog"],
            "--var catalog: write NAME=VALUE, such as --var catalog=main.",
        ),
        (["check"], "No such command 'check'"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(["bundle", *words])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
