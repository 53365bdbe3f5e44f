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
