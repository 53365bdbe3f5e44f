"""Start the page's server, and end it: Ctrl-C and SIGTERM merge the journals and leave nothing behind."""

from __future__ import annotations

import getpass
import html
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config.settings import Settings
from pipelines.errors import PlatformError
from pipelines.review.live import Live
from pipelines.review.load import Loader
from pipelines.review.merge import Merger
from pipelines.review.security import Access
from pipelines.review.thumbnails import Thumbnails
from pipelines.workspace.journal_files import review_folder
from pipelines.workspace.location import workspace_uri

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DEFAULT_PORT = 8765
PORTS_TRIED = 20  # from the default one upwards
MISSING = "irbis review needs packages that are not installed ({}). Install them: pip install 'irbis[review]'."


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    queue: str | None = None
    port: int | None = None
    host: str = "127.0.0.1"
    reviewer: str | None = None
    keys: str | None = None


@dataclass
class Running:
    """A server that answers requests; `url` contains the key."""

    url: str
    live: Live
    merger: Merger
    notes: tuple[str, ...]


def require_packages() -> None:
    """Raise PlatformError if the packages of the extra `review` are not installed."""
    missing = []
    for name in ("starlette", "uvicorn"):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise PlatformError(MISSING.format(", ".join(missing)))


@contextmanager
def serve(settings: Settings, options: Options, get_spark: Callable[[], SparkSession]) -> Iterator[Running]:
    """Run the server in other threads while the block runs.

    Raises DataError without images, and PlatformError if the port is taken or packages are missing.
    """
    require_packages()
    from pipelines.review.app import Review, create_app

    listener = listen(options.host, options.port)
    with listener:
        workspace = workspace_uri(settings)
        session = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        live = Live(Loader(settings, workspace, get_spark), session, options.keys)
        thumbnails = Thumbnails(
            review_folder(workspace) / "cache",
            live.read_content,
            max_pixels=settings.images.max_pixels,
            max_seconds=settings.images.max_seconds,
        )
        port = listener.getsockname()[1]
        access, merger = Access.of(options.host, port), Merger(settings, get_spark)
        first_queue = options.queue or live.queues.default
        review = Review(live, thumbnails, merger, access, options.reviewer or user_name(), first_queue, workspace)
        host = f"[{options.host}]" if ":" in options.host else options.host
        shown = "localhost" if options.host in ("0.0.0.0", "::") else host
        try:
            with _run_uvicorn(create_app(review), listener):
                url = f"http://{shown}:{port}/?key={access.key}"
                notes = (*live.state.loaded.notes, *filter(None, [live.writer.fault()]))
                yield Running(url, live, merger, notes)
        finally:
            thumbnails.close()
            live.close()


def listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket; without a port on the first free one from DEFAULT_PORT. Raises PlatformError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED), 0]
    for each in ports:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, each))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            fault = error.strerror
    raise PlatformError(f"--host {host} --port {port}: cannot listen there ({fault}). Choose another port, or none.")


@contextmanager
def open_browser(url: str) -> Iterator[None]:
    """Open an address in the user's browser, if there is a screen.

    The browser gets a file that only the user can read, and that is gone after the block: process arguments, and with
    them the key, are visible to other users of the machine.
    """
    has_screen = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_screen:
        yield
        return
    descriptor, name = tempfile.mkstemp(prefix="irbis-review-", suffix=".html")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(url)}">')
        webbrowser.open(Path(name).as_uri())
        yield
    finally:
        Path(name).unlink(missing_ok=True)


def user_name() -> str:
    """Return the name of the system's user, who decides unless --reviewer names somebody else."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without an entry in the list of users
        return ""


@contextmanager
def _run_uvicorn(app: Any, listener: socket.socket) -> Iterator[None]:
    """Run uvicorn in a thread, where it leaves signals alone, until the block ends."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", ws="none", server_header=False,
        timeout_graceful_shutdown=3, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)
