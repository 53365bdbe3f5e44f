"""The image and the settings of deploy/kubernetes hold together. No image is built and no pod is started here."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml
from py4j.java_collections import JavaMap

from pipelines.redaction import SECRET_PATTERN
from pipelines.spark.session import DELTA_CONF, MALLOC_ENV
from tests.deploy.spark_names import unknown
from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
IN_IMAGE = "/opt/irbis/"
PODS = ("pod.yaml", "pod-gpu.yaml", "look.yaml")
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
    assert set(words) <= {"ARG", "FROM", "RUN", "LABEL", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT"}
    assert words[:2] == ["ARG", "FROM"] and words.count("FROM") == 1
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
    for name in PODS:
        (pod,) = _yaml(name)
        assert pod["spec"]["securityContext"]["runAsUser"] == pod["spec"]["securityContext"]["fsGroup"] == 185


def test_pods_pass_what_the_namespace_demands_of_them():
    """The level `restricted` of Kubernetes' Pod Security Standards."""
    (space,) = (each for each in _yaml("access.yaml") if each["kind"] == "Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in PODS:
        (pod,) = _yaml(name)
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for setting in _settings("spark.conf"):  # which would add what is not allowed
        assert "hostPath" not in setting


def test_kubernetes_own_classes_know_every_property(spark):
    read = spark.sparkContext._jvm.io.fabric8.kubernetes.client.utils.Serialization.unmarshal
    for name in ("access.yaml", *PODS):
        for document in _yaml(name):
            assert list(_unknown(document, read(json.dumps(document)))) == []
    (claim,) = (each for each in _yaml("access.yaml") if each["kind"] == "PersistentVolumeClaim")
    claim["spec"]["accesModes"] = claim["spec"].pop("accessModes")
    assert list(_unknown(claim, read(json.dumps(claim)))) == ["accesModes"]


def _unknown(value: Any, read: Any) -> Iterator[str]:
    """Give the properties of a document that the object read from it has no place for."""
    if isinstance(value, list):
        for i, each in enumerate(value):
            yield from _unknown(each, read[i])
    elif isinstance(value, dict) and isinstance(read, JavaMap):  # any names, as of labels
        return
    elif isinstance(value, dict):
        strange = set(read.getAdditionalProperties()) & set(value)
        yield from strange
        for key in value.keys() - strange:
            yield from _unknown(value[key], getattr(read, f"get{key[0].upper()}{key[1:]}")())


@pytest.mark.parametrize(
    ("base", "is_taken"),
    [
        (f"python:3.12-slim-bookworm@sha256:{'0af9' * 16}", True),
        ("python:3.12-slim-bookworm", False),
        ("python:3.12-slim-bookworm@sha256:", False),  # as from an inspect that failed
        ("", False),
    ],
)
def test_the_image_is_built_only_on_one_that_a_digest_names(base, is_taken):
    instructions = _instructions()
    assert dict(instructions)["FROM"] == "$BASE" and instructions.count(("ARG", "BASE")) == 2
    check = next(rest for word, rest in instructions if word == "RUN")
    done = subprocess.run(["sh", "-c", check], env={"BASE": base}, capture_output=True, text=True)
    assert (done.returncode == 0) is is_taken and ("Expected python:3.12" in done.stderr) is not is_taken
    assert ("LABEL", 'org.opencontainers.image.base.name="$BASE"') in instructions


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
    for told in ("deploy/kubernetes/Dockerfile", "docs/deploy/kubernetes.md"):
        assert re.search(r"BASE=python:3\.1[0-2]-slim-\w+\n", (ROOT / told).read_text("utf-8")), told
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
    assert {key: settings[key] for key in DELTA_CONF} == DELTA_CONF
    assert {key: int(settings[f"spark.executorEnv.{key}"]) for key in MALLOC_ENV} == MALLOC_ENV
    assert settings["spark.redaction.regex"] == SECRET_PATTERN
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
    found = {each["kind"]: each for each in _yaml("access.yaml") if each["kind"] != "ServiceAccount"}
    assert set(found) == {"Namespace", "Role", "RoleBinding", "NetworkPolicy", "PersistentVolumeClaim"}
    rights = {tuple(rule["resources"]): set(rule["verbs"]) for rule in found["Role"]["rules"]}
    assert rights == {  # no claims: the workspace's is one of them
        ("pods",): {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
        ("configmaps",): {"get", "list", "create", "delete", "deletecollection"},
        ("services",): {"get", "list", "delete", "deletecollection"},
    }
    settings = _settings("spark.conf")
    assert settings["spark.kubernetes.namespace"] == found["Namespace"]["metadata"]["name"]
    accounts = [each for each in _yaml("access.yaml") if each["kind"] == "ServiceAccount"]
    driver, executor = (
        settings[f"spark.kubernetes.authenticate.{side}.serviceAccountName"] for side in ("driver", "executor")
    )
    assert [each["metadata"]["name"] for each in accounts] == [driver, executor]
    assert [each.get("automountServiceAccountToken") for each in accounts] == [None, False]
    assert [each["name"] for each in found["RoleBinding"]["subjects"]] == [driver]
    for claims in ("own", "reuse"):  # so that Spark does not ask for what it may not
        assert settings[f"spark.kubernetes.driver.{claims}PersistentVolumeClaim"] == "false"
    assert not [name for name in settings.values() if name == "OnDemand"]
    claim = found["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volume = "spark.kubernetes.{}.volumes.persistentVolumeClaim.data.{}"
    for side in ("driver", "executor"):
        assert settings[volume.format(side, "options.claimName")] == claim["metadata"]["name"]
        assert settings[volume.format(side, "mount.path")] == "/data"


def test_pods_are_reached_by_one_another_alone_and_reach_names_and_https():
    (policy,) = (each["spec"] for each in _yaml("access.yaml") if each["kind"] == "NetworkPolicy")
    assert policy["podSelector"] == {} and set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == [{"from": [{"podSelector": {}}]}]
    among, outside = policy["egress"]
    assert among == {"to": [{"podSelector": {}}]} and set(outside) == {"ports"}
    assert {(each["protocol"], each["port"]) for each in outside["ports"]} == {
        *(("UDP", 53), ("TCP", 53)),
        *(("TCP", 443), ("TCP", 6443)),
    }


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


DRIVER = """
import pathlib, signal, sys, time
def leave(*_):
    print("python got TERM", flush=True)
    time.sleep(0.2)
    print("record", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1]).touch()
while True:
    time.sleep(0.05)
"""
JAVA = """#!/bin/bash
trap 'echo java got TERM; kill %1; exit 1' TERM
{child} &
wait $!
code=$?
echo java ends
exit $code
"""


@pytest.mark.parametrize("has_python", [True, False], ids=["python at work", "only java yet"])
def test_a_pod_that_is_deleted_ends_python_first_and_java_by_it(pod, tmp_path, has_python):
    (tmp_path / "driver.py").write_text(DRIVER)
    on = tmp_path / "on"
    child = f"{sys.executable} {tmp_path}/driver.py {on}" if has_python else f"{{ touch {on}; exec sleep 60; }}"
    java = tmp_path / "bin/spark-submit"
    java.parent.mkdir()
    java.write_text(JAVA.format(child=child))
    java.chmod(0o755)
    environment = {
        "PATH": f"{pod.folder}:/usr/bin:/bin",
        "SPARK_HOME": str(tmp_path),
        "SPARK_DRIVER_BIND_ADDRESS": "::1",
    }
    running = subprocess.Popen(
        [FOLDER / "entrypoint.sh", "driver"], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while not on.exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    said = running.communicate()[0].split("\n")[:-1]
    if has_python:
        assert (said, running.returncode) == (["python got TERM", "record", "java ends"], 143)
    else:
        assert (said, running.returncode) == (["java got TERM"], 1)


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
