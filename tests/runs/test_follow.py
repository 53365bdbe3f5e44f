"""What a run has made is fetched, whatever names its workspace lists."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.runs import follow
from pipelines.runs.backends.base import RunStatus
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import FAILED, RunHistory, RunRecord, utc_now
from tests.azurite import KEY, put_raw


def test_no_name_of_a_listing_is_written_outside(azurite, container, make_settings, tmp_path):
    for name in ("runs/a/run.log", "runs/a/model/MLmodel", "runs/a//abs/path", "runs/a/x\\..\\..\\escaped"):
        container.upload_blob(name, b"x")
    put_raw(container, "runs/a/%2E%2E/%2E%2E/escaped", b"dots")
    put_raw(container, "runs/a/%2E%2E/other.log", b"dots")
    place = WorkspaceFiles(make_settings({"azure.account_key": KEY}))
    got = tmp_path / "deep" / "got"
    with pytest.raises(DataError) as caught:
        follow.download(place, f"{container.url}/runs/a", got)
    *refused, rest = caught.value.faults
    escaping = ("../../escaped", "../other.log", "/abs/path", "x/../../escaped")
    assert [fault.partition(":")[0] for fault in refused] == [
        f"{name!r} is not written below {got}" for name in escaping
    ]
    assert rest == f"The other 2 files of {container.url}/runs/a are in {got}."
    assert follow.LogTail(place, f"{container.url}/runs/a").read_new(is_over=True) == "x"
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["deep/got/model/MLmodel", "deep/got/run.log"]


def test_what_is_there_already_is_not_fetched_again(make_settings, tmp_path):
    place = WorkspaceFiles(make_settings())
    place.write(f"{tmp_path}/runs/a/run.log", b"whole")
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "run.log").write_bytes(b"WHOLE")
    assert follow.download(place, f"{tmp_path}/runs/a", tmp_path / "got") == [tmp_path / "got" / "run.log"]
    assert (tmp_path / "got" / "run.log").read_bytes() == b"WHOLE"


def test_a_record_in_the_workspace_that_cannot_be_read_is_named_and_breaks_nothing(make_settings, tmp_path):
    class Ended(WorkspaceFiles):
        def get_status(self, handle):
            return RunStatus(FAILED, "exit code 1")

        def failure_reason(self, handle):
            return "said by the place"

        def fetch_artifacts(self, handle):
            return {}

    place, ledger = Ended(make_settings()), RunHistory(str(tmp_path / "ledger"))
    ended = '{"state": "failed", "ended": "2026", "error": "no table", "stages": [{"outcome": "1 read"}]}'
    for name, text in (
        ("a.json", ended),
        ("b.json", '{"state": "fai'),
        ("c.json", '{"state": "failed", "ended": null}'),
    ):
        place.write(f"{tmp_path}/runs/r/{name}", text.encode())
    entry = RunRecord("r", ("run",), "yarn", {}, str(tmp_path), "/", utc_now(), handle={"id": "r"})
    lines = follow.refresh(entry, place, ledger).outcome.splitlines()
    assert lines[-1] == "said by the place"
    assert lines[0].startswith("The record b.json cannot be read (Invalid JSON: ")
    assert "The record c.json cannot be read (ended: Input should be a valid string)." in lines[0]
    assert lines[0].endswith("; no table")
    assert [stage.outcome for stage in follow.stage_results(place, f"{tmp_path}/runs/r")] == ["1 read"]
