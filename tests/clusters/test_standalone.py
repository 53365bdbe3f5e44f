"""Runs by spark-submit on a real standalone master with two workers, each with a GPU of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from ..end_to_end.conftest import COMMAND, closing_lines
from .conftest import CHEAP
from .standalone import standalone

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1200)]
CONF = {
    "spark.executor.resource.gpu.amount": 1,
    "spark.task.resource.gpu.amount": 1,
    "spark.executor.cores": 1,
    "spark.executor.memory": "1g",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.pyspark.python": sys.executable,
    "spark.eventLog.enabled": "true",
    "spark.sql.shuffle.partitions": 2,
    "spark.default.parallelism": 2,
    "spark.databricks.delta.snapshotPartitions": 1,
}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    with standalone(tmp_path_factory.mktemp("standalone")) as address:
        yield address


def test_a_run_shares_its_images_among_gpus_and_outlives_its_client(master, few_images, irbis, tmp_path):
    events = tmp_path / "events"
    events.mkdir()
    chosen = {**CHEAP, **{f"spark.conf.{k}": v for k, v in {**CONF, "spark.eventLog.dir": events.as_uri()}.items()}}
    words = ["--workspace", str(tmp_path / "survey"), *(f"--set={key}={value}" for key, value in chosen.items())]
    client = subprocess.Popen(
        [*COMMAND, "submit", "run", "--on", master, "--follow", "--images", str(few_images), *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    begun = any(line.startswith("ingest: 120 read, 120 written, 0 failed") for line in client.stdout)
    assert begun, client.stderr.read()[-4000:]
    client.send_signal(signal.SIGKILL)
    client.wait()

    lines = closing_lines(irbis("logs", "--follow").stdout)
    assert list(lines) == ["ingest", "featurize", "train", "score", "report"]
    irbis("outputs", "--download", "got")
    assert (tmp_path / "got" / "model" / "MLmodel").is_file() and (tmp_path / "got" / "spark-submit.txt").is_file()

    addresses, records = told_by(next(events.iterdir()))
    assert sorted(addresses.values()) == [["0"], ["1"]]
    assert sorted(records) == sorted(addresses)
    assert max(records.values()) <= 1.5 * min(records.values())

    again = irbis("repeat", "--follow")
    assert again.stdout.splitlines()[-1].startswith("Nothing to do")


def test_a_master_with_a_secret_takes_runs_that_know_it_and_no_others(few_images, irbis, tmp_path):
    conf = {f"spark.conf.{name}": value for name, value in CONF.items() if not name.startswith("spark.eventLog")}
    words = ["--workspace", str(tmp_path / "survey"), "--images", str(few_images)]
    words += [f"--set={key}={value}" for key, value in conf.items()]
    with standalone(tmp_path, 1, "hunter22") as master:
        submit = ["submit", "ingest", "--on", master, "--follow", *words]
        done = irbis(*submit, "--set=spark.conf.spark.authenticate.secret=hunter22")
        assert closing_lines(done.stdout)["ingest"].startswith("ingest: 120 read, 120 written, 0 failed")
        irbis(*submit, "--set=spark.conf.spark.authenticate.secret=hunter23", code=1)
        said = max((tmp_path / "ledger").glob("*/output.txt")).read_text()
        assert "Mismatched response" in said and "All masters are unresponsive" in said
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".conf")]
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def told_by(log: Path) -> tuple[dict[str, list[str]], Counter[str]]:
    """Return the addresses of each executor's GPUs, and the rows that each has read; check that no two tasks share."""
    addresses, records, busy = {}, Counter(), defaultdict(list)
    for event in map(json.loads, log.read_text("utf-8").splitlines()):
        if event["Event"] == "SparkListenerExecutorAdded":
            found = event["Executor Info"]["Resources"]
            addresses[event["Executor ID"]] = found["gpu"]["addresses"]
        elif event["Event"] == "SparkListenerTaskEnd":
            told = event["Task Info"]
            ran = event["Task Metrics"]["Executor Run Time"]  # the driver hears of its end later
            busy[told["Executor ID"]].append((told["Launch Time"], told["Launch Time"] + ran))
            records[told["Executor ID"]] += event["Task Metrics"]["Input Metrics"]["Records Read"]
    for times in busy.values():
        assert all(end <= start for (_, end), (start, _) in zip(sorted(times), sorted(times)[1:], strict=False))
    return addresses, records
