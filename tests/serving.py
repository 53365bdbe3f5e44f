"""Run a server of the tests' own beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import TypeVar


class Server(ThreadingHTTPServer):
    """Answer many at once; `over` tells those who still wait that the tests are done with it."""

    daemon_threads = True
    over: threading.Event


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
