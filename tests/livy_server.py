"""A Livy on this machine that starts nothing: it answers as 0.5 and 0.7 do, asks who comes, and misbehaves."""

from __future__ import annotations

import base64
import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .http_server import Faulty, FaultyHandler, serving

USER, PASSWORD = "admin", "of-the-tests"
KEPT = 200  # lines


@dataclass
class Batch:
    """A batch of Livy; `say` adds lines to its log."""

    id: int
    told: dict[str, Any]
    state: str = "starting"
    app: str | None = None
    lines: list[str] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.lines = [*self.lines, *lines][-KEPT:]


class Livy(Faulty):
    """Answer as Livy does, or misbehave: a fault is a status."""

    def __init__(self, *, is_new: bool = False, port: int = 0):
        super().__init__(_Handler, port)
        self.url, self.is_new = f"http://127.0.0.1:{self.server_port}", is_new
        self.batches: dict[int, Batch] = {}
        self.password = PASSWORD

    def view(self, batch: Batch) -> dict[str, Any]:
        found: dict[str, Any] = {"id": batch.id, "state": batch.state, "appId": batch.app, "log": batch.lines[-10:]}
        return {**found, "name": batch.told.get("name")} if self.is_new else found


def livy_server(**options: Any) -> AbstractContextManager[Livy]:
    """Run a Livy while the block runs."""
    return serving(Livy(**options))


class _Handler(FaultyHandler):
    server: Livy

    def obey(self, body: bytes) -> tuple[int, Any]:
        address = urlsplit(self.path)
        asked = {name: int(value[0]) for name, value in parse_qs(address.query).items()}
        return self._obey(address.path, asked, body)

    def spoilt(self, fault: int) -> tuple[int, Any]:
        return fault, f"fault {fault}"

    def _obey(self, path: str, asked: dict[str, int], body: bytes) -> tuple[int, Any]:
        login = base64.b64encode(f"{USER}:{self.server.password}".encode()).decode()
        if self.headers.get("Authorization") not in (f"Basic {login}", f"Bearer {self.server.password}"):
            return 401, "<html>Unauthorized</html>"
        if self.command != "GET" and not self.headers.get("X-Requested-By"):
            return 400, "Missing Required Header for CSRF protection."
        batches = self.server.batches
        if path == "/batches":
            return self._posted(json.loads(body)) if self.command == "POST" else (200, self._listed(**asked))
        number, what = re.fullmatch(r"/batches/(\d+)(/log)?", path).groups()
        batch = batches.get(int(number))
        if batch is None:
            return 404, f"Session '{number}' not found."
        if self.command == "DELETE":
            del batches[batch.id]
            return 200, {"msg": "deleted"}
        return 200, self._said(batch, **asked) if what else self.server.view(batch)

    def _posted(self, told: dict[str, Any]) -> tuple[int, Any]:
        for name in ("spark.master", "spark.submit.deployMode"):
            if name in told["conf"]:
                return 400, f"requirement failed: Blacklisted configuration values in session config: {name}"
        batch = Batch(max(self.server.batches, default=-1) + 1, told)
        self.server.batches[batch.id] = batch
        batch.say("stdout: ", "\nstderr: ", f"INFO Client: Uploading resource {told['file']} -> hdfs:///x")
        return 201, self.server.view(batch)

    def _listed(self, **asked: int) -> dict[str, Any]:
        start = asked.get("from", 0)
        page = list(self.server.batches.values())[start : start + asked.get("size", 100)]
        views = [self.server.view(batch) for batch in page]
        return {"from": start, "total": len(self.server.batches), "sessions": views}

    def _said(self, batch: Batch, **asked: int) -> dict[str, Any]:
        size, start = asked.get("size", 100), asked.get("from", -1)
        size = len(batch.lines) if size < 0 else size
        start = max(0, len(batch.lines) - size) if start < 0 else start
        lines = batch.lines[start : start + size]
        return {"id": batch.id, "from": start, "total": len(batch.lines), "log": lines}

    def answer(self, status: int, found: Any, headers: dict[str, str] | None = None) -> None:
        content = found.encode() if isinstance(found, str) and found.startswith("<") else json.dumps(found).encode()
        if self.server.is_new and isinstance(found, str) and not found.startswith("<"):
            content = json.dumps({"msg": found}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Container(dict[str, bytes]):
    """A container of Blob Storage, as far as targets use it."""

    def validate(self, folder):
        return []

    def files(self, folder):
        below = {name.removeprefix(f"{folder}/"): len(content) for name, content in self.items() if folder in name}
        return sorted(below.items())

    def read(self, address):
        return self[address]

    def write(self, address, content):
        self[address] = content
