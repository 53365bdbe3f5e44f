"""What a pod of deploy/kubernetes runs: the entry point and the GPU discovery script, with stubs."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.deploy.kubernetes_files import FOLDER
from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process


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
