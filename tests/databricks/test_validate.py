"""Broken bundles, and what is said of each: all of it is accepted by the schema."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.app import main
from pipelines.cli.bundle import validate_task_parameters
from pipelines.databricks.bundle import bundle_folder, read_bundle
from pipelines.databricks.validate import validate_bundle

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / ".." / "shared" / "schemas" / "databricks-bundle.schema.json"
TRAIN = "resources/train.job.yml"
TASK = f"{TRAIN}: resources.jobs.train.tasks"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a copy of our bundle, with the jobs and plans that it names."""
    for name in ("jobs", "conf", "deploy/databricks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path / "deploy" / "databricks"


def edit(folder: Path, file: str, old: str, new: str) -> None:
    """Replace the first `old` in a file of the bundle."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def said_of(folder: Path) -> list[str]:
    return validate_bundle(read_bundle(folder), validate_task_parameters)


def accepted_by_the_schema(folder: Path) -> bool:
    pytest.importorskip("check_jsonschema")
    files = [str(folder / "databricks.yml"), *map(str, (folder / "resources").glob("*.yml"))]
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), *files]
    return subprocess.run(command, capture_output=True).returncode == 0


BROKEN = {
    "a task on a cluster that the job does not have": (
        (
            TRAIN,
            "task_key: featurize\n          job_cluster_key: gpu",
            "task_key: featurize\n          job_cluster_key: gp",
        ),
        f"{TASK}[1].job_cluster_key = gp, and the job has no such cluster. Did you mean gpu?",
    ),
    "a task after one that there is not": (
        (TRAIN, "            - task_key: featurize", "            - task_key: features"),
        f"{TASK}[2] (train) depends_on features, and there is no such task. Did you mean featurize?",
    ),
    "tasks that wait for one another": (
        (
            TRAIN,
            "        - task_key: ingest\n",
            "        - task_key: ingest\n          depends_on: [{task_key: train}]\n",
        ),
        f"{TRAIN}: resources.jobs.train.tasks wait for one another: ingest, featurize, train, report. "
        "Take a depends_on away from one of them.",
    ),
    "a task of two types": (
        (TRAIN, "          spark_python_task:", "          run_job_task: {job_id: 1}\n          spark_python_task:"),
        f"{TASK}[0] (ingest) has two types, run_job_task and spark_python_task. Make two tasks of it.",
    ),
    "a cluster that scales and has a size": (
        ("databricks.yml", "      autoscale:\n", "      num_workers: 2\n      autoscale:\n"),
        "databricks.yml: variables.cpu_cluster has autoscale and num_workers = 2. Keep one of them.",
    ),
    "a cron line of another kind": (
        ("databricks.yml", "default: 0 0 2 * * ?", "default: 0 2 * * *"),
        "databricks.yml: variables.cron = '0 2 * * *': it has 5 fields, and Quartz wants 6 or 7: seconds minutes hours "
        "day-of-month month day-of-week [year], such as 0 0 2 * * ? for two at night.",
    ),
    "a node type that there is not": (
        ("databricks.yml", "Standard_NC4as_T4_v3", "Standard_NC4as_T4_v4"),
        "databricks.yml: variables.gpu_cluster.node_type_id = Standard_NC4as_T4_v4 is no node type we know of. "
        "Did you mean Standard_NC4as_T4_v3? Else add it to node_types.yaml, with cores and GPUs.",
    ),
    "a job file that there is not": (
        (TRAIN, "jobs/train.py", "jobs/trian.py"),
        f"{TASK}[2].spark_python_task.python_file = ../../../jobs/trian.py: there is no such file. "
        "Did you mean train.py?",
    ),
    "a setting that the job does not know": (
        ("resources/sweep.job.yml", "featurize.weights_cache", "featurize.weight_cache"),
        "resources/sweep.job.yml: resources.jobs.sweep.tasks[0].spark_python_task.parameters, for sweep.py: "
        "--set has an unknown key 'featurize.weight_cache'. Did you mean 'featurize.weights_cache'?",
    ),
    "an option that the job does not know": (
        ("resources/sweep.job.yml", "- --workspace", "- --work-space"),
        "resources/sweep.job.yml: resources.jobs.sweep.tasks[0].spark_python_task.parameters, for sweep.py: "
        "No such option '--work-space'. Did you mean '--workspace'?",
    ),
    "prod without a root_path": (
        (
            "databricks.yml",
            "    workspace:\n      root_path: /Workspace/Users/${var.service_principal}/.bundle/",
            "    # ",
        ),
        "databricks.yml: targets.prod.workspace.root_path is not set, and mode is production: each who deploys would "
        "make a copy. Set it, such as "
        "/Workspace/Users/${var.service_principal}/.bundle/${bundle.name}/${bundle.target}.",
    ),
    "prod without a run_as": (
        ("databricks.yml", "    run_as:\n      service_principal_name: ${var.service_principal}\n", ""),
        "databricks.yml: targets.prod.run_as is not set, and mode is production. "
        "Name a service principal: run_as.service_principal_name.",
    ),
    "a variable that is not declared": (
        (TRAIN, "- ${var.notify}", "- ${var.notfy}"),
        f"{TRAIN}: resources.jobs.train.email_notifications.on_failure[0] = ${{var.notfy}} uses a variable notfy "
        "that is not declared. Did you mean notify?",
    ),
    "GPUs with less than a node's cores behind a task": (
        ("databricks.yml", 'default: "4"', 'default: "1"'),
        "databricks.yml: variables.gpu_cluster.spark_conf: spark.task.cpus = 1, and Standard_NC4as_T4_v3 has 4 cores "
        "and 1 GPU. Set it to 4: one task for each GPU, with all its cores behind it.",
    ),
    "a secret in the open": (
        ("databricks.yml", 'default: "null"', 'default: "sv=2024&sig=abc"'),
        "databricks.yml: variables.cpu_cluster.spark_env_vars.IRBIS_AZURE__SAS holds a secret itself. "
        "Refer to it: {{secrets/SCOPE/KEY}}.",
    ),
    "two ways to start": (
        ("resources/nightly.job.yml", "      trigger:\n", "      continuous: {pause_status: PAUSED}\n      trigger:\n"),
        "resources/nightly.job.yml: resources.jobs.on_arrival has trigger and continuous, and a job has one. "
        "Make a second job of it, as on_arrival is.",
    ),
    "a plan that the job does not take": (
        ("resources/sweep.job.yml", "- name: plan", "- name: sweep"),
        "resources/sweep.job.yml: resources.jobs.sweep.tasks[0].spark_python_task.parameters[0] = "
        "/Workspace/Users/${workspace.current_user.userName}/.bundle/irbis/dev/files/conf/sweeps/"
        "{{job.parameters.plan}}.yaml: the job has no parameter plan. Known: sweep.",
    ),
    "a job file that stays at home": (
        ("databricks.yml", "    - ../../jobs\n", ""),
        f"{TASK}[0].spark_python_task.python_file = ../../../jobs/ingest.py would not be uploaded. "
        "Add its folder to sync.paths in databricks.yml.",
    ),
    "a runtime for GPUs on nodes without": (
        ("databricks.yml", "default: 16.4.x-cpu-ml", "default: 16.4.x-gpu-ml"),
        "databricks.yml: variables.cpu_cluster.spark_version = 16.4.x-gpu-ml-scala2.12, and Standard_D4ds_v5 has no "
        "GPU. Take a runtime with -cpu- in its name.",
    ),
}


def test_our_bundle_has_no_fault():
    assert said_of(bundle_folder()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_gets_a_complaint_that_says_where_what_and_what_to_do(name, folder):
    change, complaint = BROKEN[name]
    edit(folder, *change)
    said = said_of(folder)
    assert complaint in said
    assert len(said) == SEVERAL.get(name, 1)


SEVERAL = {"a job file that stays at home": 17, "a plan that the job does not take": 6}  # one a task, or a target


def test_every_fault_is_said_at_once_by_the_command_and_it_ends_with_2(folder, capsys):
    changes = [BROKEN[name] for name in list(BROKEN) if name not in SEVERAL][4:8]
    for change, _ in changes:
        edit(folder, *change)
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "check", str(folder)])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert sorted(said) == sorted(f"irbis: {complaint}" for _, complaint in changes)


def test_what_is_no_bundle_is_refused_in_one_sentence(folder, capsys):
    edit(folder, TRAIN, "      tasks:\n", "      tasks: 5\n      other:\n")
    with pytest.raises(SystemExit):
        main(["bundle", "check", str(folder)])
    assert "does not match the schema of a bundle" in capsys.readouterr().err


def test_a_shells_own_variables_are_no_fault_of_the_bundle(monkeypatch):
    monkeypatch.setenv("IRBIS_TRAIN__MAX_ITER", "many")
    assert said_of(bundle_folder()) == []


@pytest.mark.parametrize(
    ("command", "parameters", "said"),
    [
        ("train", ["--set", "train.max_iter={{job.parameters.steps}}", "--set", "report.title=${var.title}"], []),
        ("train", ["--env", "dev", "--compare-splits"], []),
        ("train", ["--help"], ["No such option '--help'"]),
        ("train", ["--set", "train.max_iter=many"], ["--set: train.max_iter = 'many' is refused: "]),
        ("train", ["--env", "live"], ["--env live: there is no conf/live.yaml. Known: "]),
        ("train", ["--set", "train.max_iter"], ["--set train.max_iter: write KEY=VALUE"]),
        ("train", ["--images"], ["Option '--images' requires an argument."]),
        ("train", ["plan.yaml"], ["Got unexpected extra argument (plan.yaml)"]),
        ("sweep", [], ["Missing argument 'FILE'"]),
        ("trian", [], ["there is no command `irbis trian`."]),
    ],
)
def test_parameters_are_judged_by_the_commands_own_parser_and_settings(command, parameters, said):
    found = validate_task_parameters(command, parameters)
    assert len(found) == len(said)
    assert all(fault.startswith(each) for fault, each in zip(found, said, strict=True))


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"needs {SCHEMA}")
@pytest.mark.process
def test_our_bundle_is_valid_against_the_schema(folder):
    assert accepted_by_the_schema(folder)


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"needs {SCHEMA}")
@pytest.mark.process
def test_the_schema_catches_none_of_these_faults_but_refuses_an_unknown_field(folder):
    for change, _ in BROKEN.values():
        file = folder / change[0]
        text = file.read_text(encoding="utf-8")
        if change[1] in text:  # not undone by another
            edit(folder, *change)
    assert accepted_by_the_schema(folder)
    edit(folder, TRAIN, "timeout_seconds", "timeout_secs")
    assert not accepted_by_the_schema(folder)
