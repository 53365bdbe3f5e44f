"""The image and the settings of deploy/kubernetes hold together. No image is built and no pod is started here."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from pipelines.masking import SECRET
from pipelines.platform.session import DELTA, MALLOC
from tests.deploy.spark_names import unknown
from tests.deploy.stand_in import StandIns

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
IN_IMAGE = "/opt/irbis/"
files = pytest.mark.parametrize("name", ["spark.conf", "spark-gpu.conf"])


def _instructions() -> list[tuple[str, str]]:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines if line.strip())]


def _settings(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def _yaml(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def test_the_dockerfile_has_only_instructions_that_there_are_and_begins_and_ends_with_the_right_ones():
    words = [word for word, _ in _instructions()]
    assert set(words) <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT"}
    assert words[0] == "FROM" and words.count("FROM") == 1
    assert words[-2:] == ["USER", "ENTRYPOINT"]  # so that nothing runs as root after the last of them


def test_what_the_image_copies_is_there_and_is_let_through_by_dockerignore():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for word, rest in _instructions():
        for source in rest.split()[:-1] if word == "COPY" else []:
            assert any(source == each or source.startswith(each + "/") for each in kept), source
            assert source.startswith("dist/") or (ROOT / source).exists(), source


def test_the_wheel_that_is_copied_is_the_one_that_make_builds():
    from pipelines import __version__

    (pattern,) = re.findall(r"COPY dist/(\S+)", (FOLDER / "Dockerfile").read_text(encoding="utf-8"))
    assert fnmatch.fnmatch(f"irbis-{__version__}-py3-none-any.whl", pattern)
    assert f"irbis:{__version__} " in (FOLDER / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_runs_as_the_user_of_the_pods_and_not_as_root():
    told = dict(_instructions())
    assert told["USER"] == "185"
    assert "--uid 185" in " ".join(rest for word, rest in _instructions() if word == "RUN")
    for name in ("pod.yaml", "pod-gpu.yaml"):
        (pod,) = _yaml(name)
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == security["fsGroup"] == 185
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_packages_come_in_the_locks_versions_on_a_python_and_a_java_that_suit():
    text = "\n".join(f"{word} {rest}" for word, rest in _instructions())
    installs = re.findall(r"pip install ([^&]*)", text)
    assert [re.findall(r"/opt/irbis/\S+", words) for words in installs] == [
        ["/opt/irbis/build.txt"],
        ["/opt/irbis/kubernetes.txt"],
        ["/opt/irbis/irbis-*.whl"],
    ]
    assert all("--require-hashes --only-binary :all:" in words for words in installs[:2])
    assert "--no-deps" in installs[2] and "--no-build-isolation" in installs[1]
    assert "COPY requirements/build.txt requirements/kubernetes.txt /opt/irbis/" in text
    assert re.search(r"^FROM python:3\.1[0-2]-slim-\w+$", text, re.MULTILINE)
    assert "openjdk-17-jre-headless" in text
    assert "--index" not in text


def test_the_entry_point_is_copied_may_be_run_and_is_an_array():
    (entry,) = json.loads(dict(_instructions())["ENTRYPOINT"])
    assert entry.startswith(IN_IMAGE) and os.access(FOLDER / entry.removeprefix(IN_IMAGE), os.X_OK)


def test_spark_brings_what_it_needs_to_speak_to_kubernetes():
    jars = [path.name for path in (Path(pyspark.__path__[0]) / "jars").glob("*.jar")]
    assert any(name.startswith("spark-kubernetes_2.12-") for name in jars)


@files
def test_the_settings_are_sparks_own_and_those_of_a_local_session(name):
    settings = _settings(name)
    assert all(key.startswith("spark.") for key in settings)
    assert {key: settings[key] for key in DELTA} == DELTA
    assert {key: int(settings[f"spark.executorEnv.{key}"]) for key in MALLOC} == MALLOC
    assert settings["spark.redaction.regex"] == SECRET
    assert "spark.jars.packages" not in settings  # they are in the image
    for side in ("driver", "executor"):
        template = settings[f"spark.kubernetes.{side}.podTemplateFile"]
        assert (ROOT / template).is_file(), template


@files
def test_every_setting_is_one_that_this_spark_knows(name):
    assert unknown(_settings(name)) == []
    wrong = ["spark.kubernetes.container.image.pullPolicys", "spark.executor.core"]
    assert unknown([*wrong, "spark.driver.memory"]) == wrong


def test_the_settings_for_gpus_differ_only_in_the_executors():
    cpu, gpu = _settings("spark.conf"), _settings("spark-gpu.conf")
    different = {key for key in cpu.keys() | gpu.keys() if cpu.get(key) != gpu.get(key)}
    assert all("executor" in key.lower() or key.startswith("spark.task.") for key in different)


def test_a_task_on_a_gpu_has_it_alone_with_all_the_cores_of_its_executor():
    gpu = _settings("spark-gpu.conf")
    assert gpu["spark.executor.resource.gpu.amount"] == gpu["spark.task.resource.gpu.amount"] == "1"
    assert gpu["spark.executor.resource.gpu.vendor"] == "nvidia.com"
    assert gpu["spark.task.cpus"] == gpu["spark.executor.cores"] == gpu["spark.executorEnv.OMP_NUM_THREADS"]
    script = gpu["spark.executor.resource.gpu.discoveryScript"].removeprefix(IN_IMAGE)
    assert os.access(FOLDER / script, os.X_OK)
    assert any(word == "COPY" and f"deploy/kubernetes/{script}" in rest for word, rest in _instructions())
    (pod,) = _yaml("pod-gpu.yaml")
    assert pod["spec"].pop("tolerations")[0]["key"] == "nvidia.com/gpu"
    assert [pod] == _yaml("pod.yaml")


def test_memory_follows_the_rule_of_hdinsight():
    cpu = _settings("spark.conf")
    cores = int(cpu["spark.executor.cores"])
    assert cpu["spark.kubernetes.executor.request.cores"] == str(cores)
    assert (
        cpu["spark.executor.memory"] == f"{2 * cores}g"
        and cpu["spark.executor.memoryOverhead"] == f"{3.5 * cores:.0f}g"
    )


def test_the_driver_may_do_what_it_must_in_its_own_namespace_and_nothing_else():
    found = {each["kind"]: each for each in _yaml("access.yaml")}
    assert set(found) == {"Namespace", "ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim"}
    (rule,) = found["Role"]["rules"]
    assert set(rule["resources"]) == {"pods", "services", "configmaps", "persistentvolumeclaims"}
    assert "*" not in json.dumps(found["Role"]) and "secrets" not in rule["resources"]
    settings = _settings("spark.conf")
    assert settings["spark.kubernetes.namespace"] == found["Namespace"]["metadata"]["name"]
    account = found["ServiceAccount"]["metadata"]["name"]
    assert settings["spark.kubernetes.authenticate.driver.serviceAccountName"] == account
    assert found["RoleBinding"]["subjects"][0]["name"] == account
    claim = found["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volume = "spark.kubernetes.{}.volumes.persistentVolumeClaim.data.{}"
    for side in ("driver", "executor"):
        assert settings[volume.format(side, "options.claimName")] == claim["metadata"]["name"]
        assert settings[volume.format(side, "mount.path")] == "/data"


def test_the_gpus_of_a_node_are_told_as_spark_reads_them(tmp_path):
    node = StandIns(tmp_path / "node")
    node.add("nvidia-smi", {"--query-gpu=index": (0, "0\n1\n3\n")})
    done = node.run(str(FOLDER / "gpus.sh"))
    assert json.loads(done.stdout) == {"name": "gpu", "addresses": ["0", "1", "3"]}
    node.add("nvidia-smi", {"--query-gpu=index": (9, "")})
    done = node.run(str(FOLDER / "gpus.sh"))
    assert done.returncode == 1 and "has no GPU, or no driver" in done.stderr


@pytest.fixture
def pod(tmp_path):
    stand_ins = StandIns(tmp_path / "pod")
    stand_ins.script("tini", '#!/bin/sh\nshift 2\nexec "$@"\n')
    stand_ins.add("java")
    return stand_ins


def test_an_executor_is_started_from_its_variables_with_its_options_in_order(pod):
    names = "DRIVER_URL EXECUTOR_ID EXECUTOR_CORES APPLICATION_ID EXECUTOR_POD_IP RESOURCE_PROFILE_ID EXECUTOR_POD_NAME"
    given = {f"SPARK_{name}": name.lower() for name in shlex.split(names)}
    given |= {f"SPARK_JAVA_OPT_{number}": f"-Dn={number} x" for number in range(11)}
    done = pod.run(
        str(FOLDER / "entrypoint.sh"), "executor", SPARK_HOME="/opt/spark", SPARK_EXECUTOR_MEMORY="8g", **given
    )
    assert done.returncode == 0, done.stderr
    (call,) = pod.calls("java")
    assert call[:11] == [f"-Dn={number} x" for number in range(11)]
    assert call[11:16] == ["-Xms8g", "-Xmx8g", "-cp", "/opt/spark/jars/*", KUBERNETES]
    told = dict(zip(call[16::2], call[17::2], strict=True))
    assert told["--driver-url"] == "driver_url" and told["--podName"] == "executor_pod_name"
    assert told["--resourceProfileId"] == "resource_profile_id" and len(told) == 7


KUBERNETES = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"


def test_a_driver_is_spark_submit_with_what_spark_gave_and_anything_else_is_run_as_it_is(pod, tmp_path):
    home = tmp_path / "spark"
    (home / "bin").mkdir(parents=True)
    pod.add("spark-submit")
    (home / "bin/spark-submit").symlink_to(pod.folder / "spark-submit")
    arguments = ["driver", "--properties-file", "/opt/spark/conf/spark.properties", "local:///opt/irbis/jobs/run.py"]
    entry = str(FOLDER / "entrypoint.sh")
    done = pod.run(entry, *arguments, SPARK_HOME=str(home), SPARK_DRIVER_BIND_ADDRESS="10.0.0.7")
    assert done.returncode == 0, done.stderr
    (call,) = pod.calls("spark-submit")
    assert call[:2] == ["--conf", "spark.driver.bindAddress=10.0.0.7"]
    assert call[-5:] == ["--deploy-mode", "client", *arguments[1:]][-5:]
    assert pod.run(entry, "echo", "irbis").stdout == "irbis\n"


def test_jars_of_which_spark_has_a_version_are_not_added():
    spec = importlib.util.spec_from_file_location("jars", FOLDER / "jars.py")
    assert spec and spec.loader
    jars = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(jars)
    resolved = [
        "io.delta_delta-spark_2.12-3.3.3.jar",
        "com.google.guava_guava-27.0-jre.jar",
        "com.google.guava_failureaccess-1.0.jar",
        "org.antlr_antlr4-runtime-4.9.3.jar",
        "org.eclipse.jetty_jetty-util-9.4.43.v20210629.jar",
    ]
    there = ["guava-14.0.1.jar", "antlr4-runtime-4.9.3.jar", "spark-core_2.12-3.5.9.jar", "log4j-1.2-api-2.20.0.jar"]
    kept = [path.name for path in jars.lacking(map(Path, resolved), map(Path, there))]
    assert kept == [resolved[0], resolved[2], resolved[4]]
