"""A proxy in front of Azurite that spoils a share of the answers, in an order that a seed decides."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from typing import Any

from .http_server import Quiet, Server, serving

FAULTS = ("503", "429", "cut", "reset", "stall", "corrupt", "slow")


class FaultProxy(Server):
    """Answer as the server at `port` does, but for a `share` of the requests for blobs, which get one of `faults`.

    `latency` seconds are added to every answer; one that stalls takes up to a minute. `met` counts what was done.
    """

    def __init__(
        self,
        port: int,
        share: float,
        faults: tuple[str, ...] = FAULTS,
        *,
        seed: int = 1,
        latency: float = 0.0,
        listen: int = 0,
    ):
        super().__init__(_Handler, listen)
        self.behind, self.share, self.faults, self.latency = port, share, faults, latency
        self.chance, self.met, self.guard = random.Random(seed), Counter[str](), threading.Lock()

    def draw(self, spoils: bool) -> str:
        with self.guard:
            fault = self.chance.choice(self.faults) if spoils and self.chance.random() < self.share else "none"
            self.met[fault] += 1
            return fault


def fault_proxy(*args: Any, **options: Any) -> AbstractContextManager[FaultProxy]:
    """Run a proxy while the block runs."""
    return serving(FaultProxy(*args, **options))


class _Handler(Quiet):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def do_GET(self) -> None:
        is_blob = "comp=" not in self.path
        fault = self.server.draw(is_blob)
        time.sleep(self.server.latency)
        if fault in ("503", "429"):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(int(fault))
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, headers, body = self._behind()
        if fault == "corrupt" and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length", "0")
        told = length if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", told)
        self.end_headers()
        half = body[: len(body) // 2]
        if fault == "cut":
            self.wfile.write(half)
            self.close_connection = True
        elif fault == "reset":
            self.wfile.write(half)
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault == "stall":
            self.wfile.write(half)
            self.wfile.flush()
            self.server.over.wait(60)  # the other side gives up long before
            self.close_connection = True
        elif fault == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.server.over.wait(0.2)
        else:
            if fault == "slow":
                time.sleep(0.5)
            self.wfile.write(body)

    do_HEAD = do_PUT = do_GET

    def _behind(self) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "connection":
                connection.putheader(name, value)  # the Host too: it is part of what is signed
        length = int(self.headers.get("Content-Length") or 0)
        connection.endheaders(self.rfile.read(length) if length else None)
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the other side gave up: what was to be seen
            self.close_connection = True
