"""`make audit` fails on a vulnerability that nobody has accepted."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.requirements_audit import FOLDER, LOCKS, audit

pytestmark = pytest.mark.process
TODAY = date(2026, 11, 29)  # the gate's audit takes the real day, and fails when an acceptance is over
HASH = "    --hash=sha256:" + "0" * 64


def test_every_known_hole_of_the_locks_is_accepted_with_a_reason_and_nothing_else_is() -> None:
    known = {entry["id"] for entry in yaml.safe_load((FOLDER / "known.yaml").read_text("utf-8"))}
    entries = audit.accepted()
    assert audit.faults(audit.known_findings(audit.locked()), entries, TODAY, known) == []
    assert {entry.lane for entry in entries} <= {lock.stem for lock in LOCKS}
    assert all(entry.id in known and len(entry.reason) > 20 for entry in entries)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two locks, of what is known and of what is accepted."""
    files = {
        "one.txt": f"pillow==9.4.0 \\\n{HASH}\nrequests==2.34.2 \\\n{HASH}\n",
        "two.txt": f"Pillow==13.0.0 \\\n{HASH}\nrequests==2.33.1 ; python_version < '3.11' \\\n{HASH}\n",
        "known.yaml": "- {package: pillow, id: CVE-1, introduced: '9.0', fixed: 10.0.1, part: WebP}\n",
        "accepted.yaml": "- {packages: [pillow], ids: [CVE-1], lanes: [one], reason: Old, until: 2027-01-31}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every advisory service refuse the connection."""
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


needs_pip_audit = pytest.mark.skipif(find_spec("pip_audit") is None, reason="needs pip-audit, which `dev` brings")


@needs_pip_audit
def test_without_a_service_the_table_decides_and_that_is_said(
    folder: Path, offline: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "installed", set)
    assert audit.main(folder, TODAY) == 0
    said = capsys.readouterr().out
    assert said.startswith("SKIPPED: no advisory service can be reached (osv: requests.exceptions.ConnectionError")
    assert "accepted: pillow (one): CVE-1: Old\n4 packages in 2 locks: nothing new\n" in said


CHANGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "another version": (
        "two.txt",
        lambda text: text.replace("13.0.0", "10.0.0"),
        "not accepted: pillow 10.0.0 (two): CVE-1",
    ),
    "before it came": (
        "one.txt",
        lambda text: text.replace("9.4.0", "8.9"),
        "no longer found, remove it: pillow (one): CVE-1",
    ),
    "fixed": (
        "one.txt",
        lambda text: text.replace("9.4.0", "10.0.1"),
        "no longer found, remove it: pillow (one): CVE-1",
    ),
    "over": (
        "accepted.yaml",
        lambda text: text.replace("2027-01-31", "2026-11-28"),
        "accepted until 2026-11-28, look again",
    ),
    "another lane": (
        "accepted.yaml",
        lambda text: text.replace("[one]", "[two]"),
        "not accepted: pillow 9.4.0 (one): CVE-1",
    ),
    "not fixed": (
        "known.yaml",
        lambda text: text.replace(", fixed: 10.0.1", ""),
        "not accepted: pillow 13.0.0 (two): CVE-1",
    ),
}


@needs_pip_audit
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_new_over_or_gone_fails(
    folder: Path, offline: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    monkeypatch.setattr(audit, "installed", set)
    monkeypatch.setattr(audit, "service_findings", lambda lanes: (_ for _ in ()).throw(audit.Unreachable("none")))
    name, changed, said = CHANGES[change]
    (folder / name).write_text(changed((folder / name).read_text()))
    assert audit.main(folder, TODAY) == 1
    assert said in capsys.readouterr().out


class _Service(BaseHTTPRequestHandler):
    """Answer as OSV does: `server.advisories` by package and version, or `server.status`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pin = asked["package"]["name"], asked["version"]
        self.server.asked.append(pin)  # type: ignore[attr-defined]
        body = json.dumps(self.server.advisories.get(pin, {}))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write((body if self.server.is_json else "<html>Log in</html>").encode())  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        pass


def advisory(package: str, id_: str, alias: str, fixed: str) -> dict[str, Any]:
    """Return an advisory in OSV's schema 1.6."""
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = [
        {"package": {"name": package, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    ]
    return {"schema_version": "1.6.0", "id": id_, "aliases": [alias], "summary": "A hole", "affected": affected}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    for name, value in {"asked": [], "advisories": {}, "status": 200, "is_json": True}.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(audit, "installed", set)
    yield server
    server.shutdown()
    server.server_close()


@needs_pip_audit
def test_a_service_is_asked_about_every_version_of_every_lock_and_a_new_hole_fails(
    folder: Path, service: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service.advisories = {
        ("pillow", "9.4.0"): {"vulns": [advisory("pillow", "PYSEC-1", "CVE-1", "10.0.1")]},  # accepted as CVE-1
        ("requests", "2.33.1"): {"vulns": [advisory("requests", "PYSEC-2", "CVE-2", "2.34.0")]},
    }
    assert audit.main(folder, TODAY) == 1
    output = capsys.readouterr().out
    assert "SKIPPED" not in output
    assert [line for line in output.splitlines() if line.startswith("not accepted")] == [
        "not accepted: requests 2.33.1 (two): CVE-2, PYSEC-2: fixed in 2.34.0"
    ]
    pins = {("pillow", "9.4.0"), ("pillow", "13.0.0"), ("requests", "2.34.2"), ("requests", "2.33.1")}
    assert set(service.asked) == pins


@needs_pip_audit
@pytest.mark.parametrize(("status", "is_json"), [(503, True), (403, True), (200, False)])
def test_a_service_that_gives_no_advisories_is_skipped(
    folder: Path, service: Any, capsys: pytest.CaptureFixture[str], status: int, is_json: bool
) -> None:
    service.status, service.is_json = status, is_json
    assert audit.main(folder, TODAY) == 0
    assert "SKIPPED: no advisory service can be reached (osv: " in capsys.readouterr().out
    assert len(service.asked) == 1  # no hundreds of questions for nothing


def test_a_pip_audit_that_does_not_run_is_no_skip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match=r"pip-audit failed \(1\)"):
        audit.main(folder, TODAY)


def test_a_package_that_the_service_does_not_know_is_not_passed_over() -> None:
    lanes = {"one": {("ours", "1.0"), ("pillow", "13.0.0")}}
    answers = [
        {"name": "ours", "skip_reason": "not found: ours (1.0)"},
        {"name": "pillow", "version": "13.0.0", "vulns": []},
    ]
    (finding,) = audit._findings(answers, lanes)
    assert str(finding) == "ours ? (one): not audited: not found: ours (1.0)"
