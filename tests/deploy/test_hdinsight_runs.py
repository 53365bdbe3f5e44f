"""What deploy/hdinsight starts on YARN: settings, files, order, errors. spark-submit is a stub."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.redaction import SECRET_PATTERN
from pipelines.runs.backends.shared_workspace import YARN_CONF
from pipelines.spark.session import DELTA_CONF, MALLOC_ENV
from tests.deploy.conftest import STORAGE
from tests.deploy.spark_names import read_settings, unknown
from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/hdinsight"
NODE_CORES, NODE_MEGABYTES = 8, 51_200  # of a worker Standard_E8_v3, what YARN gives out
SETTINGS = read_settings(FOLDER / "spark.conf")


def _submitted(node: StandIns) -> list[str]:
    return node.calls("spark-submit")[-1]


def test_a_stage_goes_to_yarn_with_the_environment_the_code_and_every_setting(head_node):
    home, node = head_node
    done = node.run(str(home / "deploy/hdinsight/run.sh"), "featurize", "--workspace", "abfss://x@y/irbis")
    assert done.returncode == 0, done.stderr
    call = _submitted(node)
    assert call[:6] == ["--master", "yarn", "--deploy-mode", "cluster", "--name", "irbis featurize"]
    assert call[call.index("--archives") + 1] == f"{STORAGE}/irbis/environment.tar.gz#environment"
    assert call[call.index("--py-files") + 1] == str(home / "dist/irbis-0.1.0.zip")
    given = [call[place + 1] for place, word in enumerate(call) if word == "--conf"]
    assert given == [f"{name}={value}" for name, value in SETTINGS.items()]
    assert call[-3:] == [str(home / "jobs/featurize.py"), "--workspace", "abfss://x@y/irbis"]


def test_settings_and_certificate_travel_as_files_and_only_their_names_are_arguments(head_node, tmp_path):
    home, node = head_node
    settings, certificate = tmp_path / "nightly.yaml", tmp_path / "reader.pem"
    settings.write_text("azure: {sas: 'sv=1&sig=SECRET'}\n")
    settings.chmod(0o600)
    certificate.write_text("SECRET")
    done = node.run(
        str(home / "deploy/hdinsight/run.sh"),
        "score",
        IRBIS_ENV=str(settings),
        AZURE_CLIENT_CERTIFICATE_PATH=str(certificate),
        AZURE_TENANT_ID="tenant",
        AZURE_CLIENT_ID="client",
    )
    assert done.returncode == 0, done.stderr
    call = _submitted(node)
    assert call[call.index("--files") + 1] == f"{settings},{certificate}"
    assert call[-2:] == ["--env", "nightly.yaml"] and "SECRET" not in " ".join(call)
    for side in ("spark.yarn.appMasterEnv", "spark.executorEnv"):
        assert f"{side}.AZURE_CLIENT_CERTIFICATE_PATH=reader.pem" in call and f"{side}.AZURE_CLIENT_ID=client" in call


def test_what_would_fail_on_the_cluster_is_refused_before_it(head_node, tmp_path):
    home, node = head_node
    run = str(home / "deploy/hdinsight/run.sh")
    assert "there is no job feature." in node.run(run, "feature").stderr
    assert "expected a stage" in node.run(run).stderr
    settings = tmp_path / "open.yaml"
    settings.write_text("")
    settings.chmod(0o644)
    assert "can be read by others" in node.run(run, "run", IRBIS_ENV=str(settings)).stderr
    assert "there is no such file" in node.run(run, "run", IRBIS_ENV="/nowhere.yaml").stderr
    (home / "dist/irbis-0.2.0.zip").write_text("code")
    assert "has 2 versions of the code (irbis-0.1.0.zip irbis-0.2.0.zip)" in node.run(run, "run").stderr
    for each in (home / "dist").iterdir():
        each.unlink()
    assert "make build" in node.run(run, "run").stderr
    (home / "dist/irbis-0.1.0.zip").write_text("code")
    node.add("hdfs", {"-test": (1, ""), "getconf": (0, STORAGE)})
    assert "Build it: build-environment.sh" in node.run(run, "run").stderr
    assert node.calls("spark-submit") == []


def test_a_night_runs_four_stages_in_order_then_cleans_and_ends_with_the_first_that_fails(head_node, tmp_path):
    home, node = head_node
    night = str(home / "deploy/hdinsight/nightly.sh")
    lock = str(tmp_path / "lock")
    assert node.run(night, LOCK=lock).returncode == 0
    night_long = ["ingest", "featurize", "score", "report", "clean"]
    assert [Path(call[-1]).stem for call in node.calls("spark-submit")] == night_long
    node.record.unlink()
    node.add("spark-submit", {"featurize": (1, "")})
    assert node.run(night, LOCK=lock).returncode == 1
    assert [Path(call[-1]).stem for call in node.calls("spark-submit")] == ["ingest", "featurize"]


def test_the_lock_of_the_night_lies_in_a_folder_of_the_user(head_node, tmp_path):
    home, node = head_node
    (tmp_path / "user").mkdir()
    assert node.run(str(home / "deploy/hdinsight/nightly.sh"), HOME=str(tmp_path / "user")).returncode == 0
    lock = tmp_path / "user/.cache/irbis/nightly.lock"
    assert lock.is_file() and lock.parent.stat().st_mode & 0o077 == 0


def test_two_nights_at_once_are_one(head_node, tmp_path):
    home, node = head_node
    lock = tmp_path / "lock"
    with subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; read x"], **_pipes()) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        done = node.run(str(home / "deploy/hdinsight/nightly.sh"), LOCK=str(lock))
        holder.communicate("\n")
    assert done.returncode == 0 and "not started" in done.stdout
    assert node.calls("spark-submit") == []


def _pipes() -> dict[str, object]:
    return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def test_the_crontab_runs_what_is_there_as_a_user_every_day():
    lines = (FOLDER / "irbis.cron").read_text(encoding="utf-8").splitlines()
    (entry,) = [line for line in lines if re.match(r"\d", line)]
    minute, hour, *rest = entry.split()
    assert (minute, hour, rest[:4]) == ("0", "2", ["*", "*", "*", "sshuser"])
    assert (ROOT / rest[4].removeprefix("/home/sshuser/irbis/")).is_file()


def test_the_settings_are_those_of_the_lane():
    lock = (ROOT / "requirements/hdinsight-5.1.txt").read_text(encoding="utf-8")
    (delta,) = re.findall(r"^delta-spark==(\S+)", lock, re.MULTILINE)
    assert SETTINGS["spark.jars.packages"] == f"io.delta:delta-core_2.12:{delta}"
    assert SETTINGS["spark.pyspark.python"] == "./environment/bin/python"
    assert {name: SETTINGS[name] for name in YARN_CONF} == YARN_CONF
    assert {name: SETTINGS[name] for name in DELTA_CONF} == DELTA_CONF
    assert SETTINGS["spark.redaction.regex"] == SECRET_PATTERN
    assert {name: int(SETTINGS[f"spark.executorEnv.{name}"]) for name in MALLOC_ENV} == MALLOC_ENV
    assert unknown(SETTINGS) == []


def test_runs_through_livy_get_the_same_sizes():
    conf = yaml.safe_load((ROOT / "conf/hdinsight.yaml").read_text(encoding="utf-8"))["spark"]["conf"]
    brought = {
        "spark.pyspark.python",
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON",
        "spark.jars.packages",
        *DELTA_CONF,
        *YARN_CONF,
    }
    assert conf == {name: value for name, value in SETTINGS.items() if name not in brought}


def test_two_executors_fill_a_worker_and_each_task_has_room_for_its_python():
    cores = int(SETTINGS["spark.executor.cores"])
    heap, beside = (_gigabytes(SETTINGS[f"spark.executor.{name}"]) for name in ("memory", "memoryOverhead"))
    assert heap == 2 * cores and beside == 3.5 * cores
    fitting = NODE_MEGABYTES // int((heap + beside) * 1024)
    assert fitting == NODE_CORES // cores == 2  # YARN counts memory alone: no third may fit
    driver = sum(_gigabytes(SETTINGS[f"spark.driver.{name}"]) for name in ("memory", "memoryOverhead"))
    assert fitting * (heap + beside) + driver <= NODE_MEGABYTES / 1024
    assert int(SETTINGS["spark.executorEnv.OMP_NUM_THREADS"]) == int(SETTINGS["spark.task.cpus"]) == 1
    template = (ROOT / "deploy/azure/hdinsight.json").read_text(encoding="utf-8")
    (workers,) = re.findall(r'"maxWorkers": \{ "type": "int", "defaultValue": (\d+)', template)
    assert int(SETTINGS["spark.dynamicAllocation.maxExecutors"]) == fitting * int(workers)


def _gigabytes(size: str) -> int:
    assert size.endswith("g")
    return int(size[:-1])
