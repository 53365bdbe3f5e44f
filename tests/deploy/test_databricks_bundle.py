"""The Databricks bundle: what its schema does not catch, and `databricks bundle validate` only with a workspace."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from pipelines.cli.app import irbis
from pipelines.config.loader import build_settings, load_sourced_values
from pipelines.config.overrides import collect_settings
from pipelines.databricks.bundle import read_bundle, render

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "deploy" / "databricks"
SCHEMA = ROOT / ".." / "shared" / "schemas" / "databricks-bundle.schema.json"
NODES = {"Standard_D4ds_v5": (4, 0), "Standard_NC4as_T4_v3": (4, 1)}  # cores, GPUs
STARTS = ("schedule", "trigger", "continuous")


@pytest.fixture(params=["dev", "prod"])
def target(request):
    return request.param


@pytest.fixture
def jobs(target):
    return render(target, user="a.ranger@example.org", folder=BUNDLE)["resources"]["jobs"]


def tasks_of(job):
    """Yield every task with its cluster keys, including those in a for_each_task."""
    for task in job["tasks"]:
        yield task
        if "for_each_task" in task:
            yield task["for_each_task"]["task"]


def clusters_of(job):
    return {each["job_cluster_key"]: each["new_cluster"] for each in job["job_clusters"]}


def command_of(python_file):
    """Return the command that a job file runs, which has the file's name."""
    return Path(python_file).stem


def fill_in(key, origin):
    """Replace a value that is unknown before the run by the default, which is valid."""
    is_reference = isinstance(origin.value, str) and ("${" in origin.value or "{{" in origin.value)
    return load_sourced_values().get(key, origin) if is_reference else origin


def test_every_task_has_one_type_a_cluster_of_its_job_and_earlier_tasks_to_wait_for(jobs):
    for job in jobs.values():
        for task in tasks_of(job):
            assert len([key for key in task if key.endswith("_task")]) == 1, task["task_key"]
            assert "for_each_task" in task or task["job_cluster_key"] in clusters_of(job)
        keys = [task["task_key"] for task in job["tasks"]]
        assert len(set(keys)) == len(keys)
        for i, task in enumerate(job["tasks"]):  # waiting for earlier tasks only, no task waits for itself
            assert {each["task_key"] for each in task.get("depends_on", [])} <= set(keys[:i])


def test_every_job_file_exists_is_uploaded_and_runs_the_command_of_its_name(jobs):
    uploaded = [(BUNDLE / path).resolve() for path in read_bundle(BUNDLE).tree["sync"]["paths"]]
    assert ROOT / "jobs" in uploaded
    for job in jobs.values():
        for task in tasks_of(job):
            if python := task.get("spark_python_task"):
                file = ROOT / "jobs" / Path(python["python_file"]).name
                assert python["python_file"].endswith(f"/files/jobs/{file.name}") and file.is_file()
                assert command_of(file) in irbis.commands


def test_the_commands_accept_the_parameters_of_their_tasks(jobs):
    """Values that only Databricks knows count as valid."""
    for job in jobs.values():
        for task in tasks_of(job):
            if python := task.get("spark_python_task"):
                name, words = command_of(python["python_file"]), [str(word) for word in python["parameters"]]
                context = irbis.commands[name].make_context(name, list(words), help_option_names=[])
                origins = collect_settings(context.params["env"], context.params["assignments"], context.params)
                settings = build_settings({key: fill_in(key, origin) for key, origin in origins.items()})
                assert settings.workspace.endswith("/irbis")
                used = re.findall(r"\{\{job\.parameters\.(\w+)\}\}", " ".join(words))
                assert set(used) <= {each["name"] for each in job.get("parameters", [])}


def test_each_gpu_runs_one_task_with_its_share_of_the_cores_and_runtimes_match_the_nodes(jobs):
    for job in jobs.values():
        for cluster in clusters_of(job).values():
            cores, gpus = NODES[cluster["node_type_id"]]
            assert ("-gpu-" in cluster["spark_version"]) == bool(gpus)
            assert cluster["autoscale"]["min_workers"] < cluster["autoscale"]["max_workers"]
            assert not {"num_workers", "autotermination_minutes"} & set(cluster)
            if gpus:
                conf = cluster["spark_conf"]
                assert conf["spark.task.resource.gpu.amount"] == "1"
                assert conf["spark.task.cpus"] == str(cores // gpus)


def test_no_cluster_holds_a_secret(jobs):
    """The SAS is null or a reference."""
    for job in jobs.values():
        for cluster in clusters_of(job).values():
            assert cluster.get("spark_env_vars", {}) in ({}, {"IRBIS_AZURE__SAS": "null"})
            assert not any("key" in name or "secret" in name for name in cluster.get("spark_conf", {}))


def test_a_job_starts_in_one_way_at_a_time_that_quartz_and_databricks_understand(jobs):
    for job in jobs.values():
        assert sum(start in job for start in STARTS) <= 1
        if schedule := job.get("schedule"):
            seconds, minutes, hours, day, month, weekday = schedule["quartz_cron_expression"].split()
            assert (day == "?") != (weekday == "?") and month == "*"
            assert (int(seconds), int(minutes)) < (60, 60) and int(hours) < 24
            assert schedule["timezone_id"] in available_timezones()


def test_every_variable_is_declared_and_has_a_value_or_must_be_given():
    bundle = read_bundle(BUNDLE)
    text = "".join(path.read_text("utf-8") for path in [BUNDLE / "databricks.yml", *BUNDLE.glob("resources/*.yml")])
    declared = bundle.tree["variables"]
    assert set(re.findall(r"\$\{var\.([\w-]+)", text)) | {"settings"} == set(declared)
    assert [name for name, about in declared.items() if "default" not in about] == ["notify", "service_principal"]


def test_prod_runs_as_a_service_principal_from_one_folder():
    bundle = read_bundle(BUNDLE)
    assert {name: about["mode"] for name, about in bundle.tree["targets"].items()} == {
        "dev": "development",
        "prod": "production",
    }
    tree = render("prod", {"service_principal": "app"}, folder=BUNDLE)
    assert tree["run_as"] == {"service_principal_name": "app"}
    assert tree["workspace"]["root_path"] == "/Workspace/Users/app/.bundle/irbis/prod"


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"needs {SCHEMA}")
@pytest.mark.process
def test_the_bundle_is_valid_against_the_schema():
    pytest.importorskip("check_jsonschema")
    files = [str(BUNDLE / "databricks.yml"), *map(str, BUNDLE.glob("resources/*.yml"))]
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), *files]
    assert subprocess.run(command, capture_output=True).returncode == 0
