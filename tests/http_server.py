"""Run a server of the tests' own beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


class Server(ThreadingHTTPServer):
    """Answer many at once; `over` tells those who still wait that the tests are done with it."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0):
        super().__init__(("127.0.0.1", port), handler)
        self.over = threading.Event()


class Quiet(BaseHTTPRequestHandler):
    """Log nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class Faulty(Server):
    """Misbehave: `faults` are (method and start of the address, what to do) for the next calls that fit.

    What to do is what the handler makes an answer of, "drop", which cuts the line, or "drop after", which cuts it once
    the call was obeyed. `calls` holds every call.
    """

    def __init__(self, handler: type[FaultyHandler], port: int = 0):
        super().__init__(handler, port)
        self.faults: list[tuple[str, Any]] = []
        self.calls: list[str] = []
        self.guard = threading.RLock()

    def take(self, call: str) -> Any:
        """Note a call, and give what is to be done with it; null: nothing but to obey."""
        with self.guard:
            self.calls.append(call)
            hit = next((fault for fault in self.faults if call.startswith(fault[0])), None)
            if hit:
                self.faults.remove(hit)
        return hit[1] if hit else None


class FaultyHandler(Quiet):
    """Obey the calls of a Faulty server, but for its faults."""

    server: Faulty

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.take(f"{self.command} {self.called()}")
        if fault not in (None, "drop", "drop after"):
            return self.answer(*self.spoilt(fault))
        given = None if fault == "drop" else self.obey(body)
        if fault or given is None:
            self.close_connection = True
        else:
            self.answer(*given)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def called(self) -> str:
        """Give the address by which calls are noted."""
        return self.path

    def obey(self, body: bytes) -> tuple[Any, ...]:
        """Do what is asked, and give what `answer` takes."""
        raise NotImplementedError

    def spoilt(self, fault: Any) -> tuple[Any, ...]:
        """Give what `answer` takes for a fault."""
        raise NotImplementedError

    def answer(self, status: int, found: Any, headers: dict[str, str] | None = None) -> None:
        raise NotImplementedError


Running = TypeVar("Running", bound=Server)


@contextmanager
def serving(server: Running) -> Iterator[Running]:
    """Run a server while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
