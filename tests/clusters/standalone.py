"""A real standalone Spark on this machine: a master and two workers, each of which finds a GPU that is not there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

from pipelines.spark.java import find_java
from tests.azurite import free_port

from .yarn_livy import OPENED, Cluster, await_answer

JARS = Path(pyspark.__file__).parent / "jars"


@contextmanager
def standalone(folder: Path, workers: int = 2, secret: str = "") -> Iterator[str]:
    """Yield the master's address; worker N has one core and the GPU N. All require the secret."""
    asked = f"spark.authenticate true\nspark.authenticate.secret {secret}\n" if secret else ""
    (folder / "master.conf").write_text(asked)
    port, web, begun = free_port(), free_port(), []
    try:
        begun.append(
            _start(
                folder,
                "master",
                "master.Master",
                ["--port", port, "--webui-port", web, "--properties-file", folder / "master.conf"],
            )
        )
        await_answer(f"http://127.0.0.1:{web}/json/", b"ALIVE")
        for number in range(workers):
            script = folder / f"gpu{number}.sh"
            script.write_text(f'#!/bin/sh\necho \'{{"name": "gpu", "addresses": ["{number}"]}}\'\n')
            script.chmod(0o755)
            conf = folder / f"worker{number}.conf"
            gpu = f"spark.worker.resource.gpu.amount 1\nspark.worker.resource.gpu.discoveryScript {script}\n"
            conf.write_text(gpu + asked)
            words = ["--webui-port", 0, "--cores", 1, "--memory", "2g", "--work-dir", folder / f"work{number}"]
            words += ["--properties-file", conf, f"spark://127.0.0.1:{port}"]
            begun.append(_start(folder, f"worker{number}", "worker.Worker", words))
        await_answer(f"http://127.0.0.1:{web}/json/", b'"aliveworkers" : %d' % workers)
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in reversed(begun):
            Cluster.end(process)


def _start(folder: Path, name: str, main: str, words: list[object]) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("IRBIS", "PYTHON"))}
    environment |= {"JAVA_HOME": str(find_java().home), "SPARK_HOME": str(JARS.parent), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment["SPARK_SCALA_VERSION"] = "2.12"  # which its scripts find out, and workers need for executors
    java = str(find_java().home / "bin" / "java")
    command = [java, *OPENED, "-Xmx512m", "-cp", f"{JARS}/*", f"org.apache.spark.deploy.{main}", "--host", "127.0.0.1"]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [*command, *map(str, words)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
