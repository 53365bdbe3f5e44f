"""What is shown of a command that hangs."""

from __future__ import annotations

import os
import sys
import time

import pytest

from pipelines.spark.java import find_java
from pipelines.spark.runtime import spark_home

from .hangs import end_with_stacks, start

pytestmark = pytest.mark.process

CHILD = """
import pathlib, time
def wait_in_worker():
    pathlib.Path("ready").touch()
    time.sleep(600)
wait_in_worker()
"""
PARENT = """
import subprocess, sys
def wait_in_driver():
    child.wait()
log = open("spark.log", "ab")
java = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=log, stderr=log)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=log, stderr=log)
print("some output", flush=True)
wait_in_driver()
"""


def test_the_stacks_of_all_processes_of_a_command_that_hangs_are_shown_and_all_are_ended(tmp_path):
    (py4j,) = (spark_home() / "jars").glob("py4j-*.jar")
    gateway = [str(find_java().home / "bin" / "java"), "-cp", str(py4j), "py4j.GatewayServer", "0"]  # waits for calls
    process = start([sys.executable, "-c", PARENT, CHILD, *gateway], tmp_path, os.environ)
    log = tmp_path / "spark.log"
    while not ((tmp_path / "ready").exists() and log.read_bytes()):  # Java writes its port
        assert process.poll() is None
        time.sleep(0.05)
    shown = end_with_stacks(process, tmp_path)
    assert "some output" in shown
    assert "in wait_in_driver" in shown
    assert "in wait_in_worker" in shown
    assert "Full thread dump" in shown and "at py4j.GatewayServer.run" in shown
    assert shown.count(sys.executable) >= 2 and "py4j.GatewayServer 0" in shown  # the list of processes
    assert process.returncode is not None
