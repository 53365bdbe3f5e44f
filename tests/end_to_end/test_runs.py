"""What was started here is listed, shown, fetched and done again."""

from __future__ import annotations

import json
from datetime import datetime

from ..stages.conftest import jpeg


def test_local_runs_are_listed_shown_fetched_and_repeated(irbis_here, tmp_path):
    (tmp_path / "images" / "plain").mkdir(parents=True)
    (tmp_path / "images" / "plain" / "a.jpg").write_bytes(jpeg(100, 1, datetime(2025, 1, 1)))
    assert irbis_here("runs").stdout == f"No runs in {tmp_path / 'ledger'} yet.\n"
    said = irbis_here("ingest", "--images", "images", "--set", "ingest.threads=2").stdout
    refused = irbis_here("train", code=2).stderr

    listed = irbis_here("runs").stdout.splitlines()
    assert [line.split()[1:4] for line in listed[1:]] == [
        ["train", "local", "failed"],
        ["ingest", "local", "succeeded"],
    ]
    assert "There is no table features in" in listed[1]
    assert irbis_here("logs", "ingest").stdout.endswith(said)
    assert irbis_here("logs").stdout in refused
    assert irbis_here("logs", "ingest", "--follow").stdout.endswith(said)

    files = irbis_here("outputs", "ingest").stdout
    assert "ingest.json" in files and "ingest.log" in files
    irbis_here("outputs", "ingest", "--download", "got")
    record = json.loads((tmp_path / "got" / "ingest.json").read_text("utf-8"))
    assert [stage["written"] for stage in record["stages"]] == [1]

    again = irbis_here("repeat", "ingest")
    assert "irbis ingest --images images" in again.stderr and "ingest.threads=2" in again.stderr
    assert "ingest: 0 read, 0 written" in again.stdout or "ingest: 1 read, 0 written" in again.stdout
    assert "has already ended: succeeded" in irbis_here("cancel").stdout


def test_one_bad_record_is_listed_as_unknown_beside_the_others(irbis_here, tmp_path):
    good = {"command": ["run"], "backend": "local", "settings": {}, "workspace": "/w", "cwd": "/", "state": "succeeded"}
    good |= {"started": "2026-01-01T10:00:00+00:00", "ended": "2026-01-01T10:00:30+00:00"}
    sent = good | {"state": "running", "ended": None}
    records = {
        "cut": '{"id": "cut", "wor',
        "dateless": good | {"started": None},
        "good": good,
        "pid": good | {"pid": "12; rm"},
        "mars": sent | {"backend": "mars"},
        "handless": sent | {"backend": "local[1]", "handle": {"id": 7}},
        "setless": sent | {"backend": "hdinsight", "settings": {"hdinsight.url": [1]}, "handle": {"batch": "x"}},
    }
    (tmp_path / "ledger").mkdir()
    for name, record in records.items():
        text = record if isinstance(record, str) else json.dumps({"id": name, **record})
        (tmp_path / "ledger" / f"{name}.json").write_text(text)
    listed = json.loads(irbis_here("runs", "--json").stdout)
    assert {each["id"]: each["state"] for each in listed} == dict.fromkeys(records, "unknown") | {"good": "succeeded"}
    outcomes = {each["id"]: each["outcome"] for each in listed}
    assert outcomes["mars"].startswith("unknown: --on mars: ")
    assert "has no handle of local[1] (KeyError" in outcomes["handless"]
    assert "cut.json cannot be read (Invalid JSON" in outcomes["cut"]
    assert len(irbis_here("runs").stdout.splitlines()) == 1 + len(records)
    assert irbis_here("cancel", "cut", code=2).stderr.startswith("irbis: cut: its record ")


def test_a_run_that_cannot_go_there_is_not_sent(irbis_here, tmp_path):
    refused = irbis_here("submit", "run", "--on", "databricks", "--images", "images", code=2).stderr
    assert "irbis: workspace = irbis-workspace is " in refused
    assert "irbis: sources.images = images is a folder on this machine" in refused
    assert "No runs in" in irbis_here("runs").stdout
    unknown = irbis_here("submit", "run", "--on", "mars", code=2).stderr
    assert unknown.startswith("irbis: --on mars: ")


def test_a_run_that_was_sent_here_and_is_refused_at_once_says_why_in_its_record(irbis, tmp_path):
    words = ["--images", "/no/such/folder", "--workspace", tmp_path / "ws", "--set", "runs.id=ingest-1"]
    irbis("ingest", *words, code=2)
    record = json.loads((tmp_path / "ws" / "runs" / "ingest-1" / "ingest.json").read_text("utf-8"))
    assert (record["state"], "/no/such/folder" in record["error"]) == ("failed", True)
    assert "/no/such/folder" in (tmp_path / "ws" / "runs" / "ingest-1" / "ingest.log").read_text("utf-8")
    assert not (tmp_path / "ledger").exists()
