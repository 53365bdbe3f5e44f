"""Workspaces for the review page, and a server in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.config.settings import Settings

from .browser import chromium, server
from .made import Made, make_workspace

SURVEY = (
    Made("b0", (0.64, 0.58), needs_review=True, group="g0"),
    Made("b1", (0.99, 0.98, 0.2), needs_review=True, group="g1"),
    Made("b2", (0.7,), needs_review=True, group="g0"),
    Made("b3", (0.02, 0.01), station="S2"),
    Made("b4", (0.3,), station="S2"),
    Made("b5", (0.9,), needs_review=True, label="fox"),
    Made("b6", (None, 0.8), needs_review=True, failure="truncated"),
)


BURSTS = tuple(
    Made(f"r{i:02}", (0.61 + i / 100, 0.611 + i / 100, 0.609 + i / 100), needs_review=True) for i in range(24)
)
DISMISSED = tuple(Made(f"d{i:02}", (0.1,)) for i in range(30))


@pytest.fixture
def open_review(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a workspace of bursts and returns what the server holds, without a server."""
    with ExitStack() as stack:

        def open_(bursts: tuple[Made, ...] = SURVEY, *, has_champion: bool = True, **options: Any) -> Opened:
            workspace = tmp_path / "workspace"
            if not (workspace / "tables").is_dir():
                make_workspace(workspace, bursts, has_champion=has_champion)
            opened = open_workspace(make_settings({"workspace": str(workspace)}), workspace, **options)
            stack.callback(opened.close)
            return opened

        yield open_


@dataclass
class Opened:
    """The parts of a server."""

    review: Any
    live: Any

    @property
    def decisions(self) -> Any:
        return self.live.decisions

    @property
    def queues(self) -> Any:
        return self.live.queues

    def close(self) -> None:
        self.review.thumbnails.close()
        self.live.close()


def open_workspace(
    settings: Settings, workspace: Path, *, session: str = "session", reviewer: str = "ada", workers: int = 0
) -> Opened:
    from pipelines.review.app import Review
    from pipelines.review.live import Live
    from pipelines.review.load import Loader
    from pipelines.review.merge import Merger
    from pipelines.review.security import Access
    from pipelines.review.thumbnails import Thumbnails

    def no_spark() -> Any:
        pytest.fail("Spark was started")

    live = Live(Loader(settings, str(workspace), no_spark), session)
    thumbnails = Thumbnails(
        workspace / "review" / "cache", live.read_content, max_pixels=10**7, max_seconds=30, workers=workers
    )
    access, merger = Access.of("127.0.0.1", 8765), Merger(settings, no_spark)
    review = Review(live, thumbnails, merger, access, reviewer, live.queues.default, str(workspace))
    return Opened(review, live)


@pytest.fixture
def client(open_review: Callable[..., Any]) -> Any:
    """Return a client with the cookie, the Host and the headers of the page, for the survey."""
    return client_of(open_review())


def client_of(opened: Opened) -> Any:
    from starlette.testclient import TestClient

    from pipelines.review.app import create_app

    access = opened.review.access
    client = TestClient(create_app(opened.review), base_url="http://127.0.0.1:8765", raise_server_exceptions=False)
    client.cookies.set(access.cookie_name, access.cookie)
    client.headers.update({"origin": "http://127.0.0.1:8765", "x-irbis-token": access.header})
    client.opened = opened
    return client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "work space é", BURSTS + DISMISSED)


@pytest.fixture
def running(workspace: Path, tmp_path: Path) -> Iterator[Any]:
    with server(workspace, tmp_path / "server.log", "--reviewer", "ada") as started:
        yield started
