"""Images from URLs: only below an allowed prefix, and never further."""

from __future__ import annotations

import pytest

from pipelines.errors import ImageError
from pipelines.serving import fetch_url
from pipelines.serving.fetch_url import normalize_prefix
from pipelines.serving.image_input import AllowedSources, read_image

from ..http_server import Quiet, Server, serving

PHOTO = b"\xff\xd8\xff" + bytes(1000)


class Store(Quiet):
    """Answer with an image, an error of the path, or a redirect; note every request."""

    server: Recorder

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        if self.path.startswith("/open/away"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/secret/a.jpg")
            self.end_headers()
            return
        status = int(self.path.rpartition("/")[2]) if self.path.rpartition("/")[2].isdigit() else 200
        self.send_response(status)
        self.end_headers()
        if self.path.startswith("/open/endless"):
            while not self.server.over.is_set():
                self.wfile.write(bytes(1 << 16))
        self.wfile.write(PHOTO)


class Recorder(Server):
    def __init__(self) -> None:
        super().__init__(Store)
        self.paths: list[str] = []


@pytest.fixture
def store():
    with serving(Recorder()) as running:
        yield running


def fetch(store, path: str, prefix: str = "/open/") -> bytes:
    root = f"http://127.0.0.1:{store.server_port}"
    return read_image(f"{root}{path}", AllowedSources(url_prefixes=(root + prefix,)), 100_000)


def failure(store, path: str, prefix: str = "/open/") -> str:
    with pytest.raises(ImageError) as caught:
        fetch(store, path, prefix)
    return caught.value.failure


def test_an_image_below_the_prefix_is_fetched_with_its_query(store):
    assert fetch(store, "/open/a.jpg?sv=1&sig=%2F") == PHOTO
    assert fetch(store, "/open/a.jpg", prefix="/open") == PHOTO
    assert store.paths == ["/open/a.jpg?sv=1&sig=%2F", "/open/a.jpg"]


@pytest.mark.parametrize(
    "path",
    [
        "/secret/a.jpg",
        "/open-too/a.jpg",
        "/open/../secret/a.jpg",
        "/open/%2e%2e/secret/a.jpg",
        "/open/%252e%252e/secret/a.jpg",
        "/open/..\\secret/a.jpg",
        "/open",
        "/?x=/open/",
    ],
)
def test_nothing_outside_the_prefix_is_asked_for(store, path):
    assert failure(store, path) == "forbidden"
    assert store.paths == []


@pytest.mark.parametrize(
    "address",
    [
        "http://u:p@127.0.0.1:{port}/open/a.jpg",
        "http://127.0.0.1:{port}@evil.example/open/a.jpg",
        "http://127.0.0.1.evil.example:{port}/open/a.jpg",
        "https://127.0.0.1:{port}/open/a.jpg",
        "http://127.0.0.1/open/a.jpg",
        "http://localhost:{port}/open/a.jpg",
        "http://[::1]:{port}/open/a.jpg",
    ],
)
def test_another_host_port_scheme_or_user_is_refused(store, address):
    allowed = AllowedSources(url_prefixes=(f"http://127.0.0.1:{store.server_port}/open/",))
    with pytest.raises(ImageError, match="forbidden"):
        read_image(address.format(port=store.server_port), allowed, 100_000)
    assert store.paths == []


def test_a_redirect_is_not_followed(store):
    assert failure(store, "/open/away.jpg") == "unavailable"
    assert store.paths == ["/open/away.jpg"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/open/404", "vanished"),
        ("/open/403", "forbidden"),
        ("/open/500", "unavailable"),
        ("/open/endless", "too_large"),
    ],
)
def test_errors_of_the_server_are_failures_of_the_image(store, path, expected):
    assert failure(store, path) == expected


def test_a_server_that_never_ends_is_left_after_the_time_limit(store, monkeypatch):
    monkeypatch.setattr(fetch_url, "MAX_SECONDS", -1.0)
    assert failure(store, "/open/a.jpg") == "unavailable"


def test_a_server_that_is_gone_is_unavailable(store):
    with pytest.raises(ImageError, match="unavailable: the server did not answer"):
        read_image("http://127.0.0.1:9/a.jpg", AllowedSources(url_prefixes=("http://127.0.0.1:9/",)), 1000)


def test_prefixes_name_their_port_and_end_with_a_slash():
    assert normalize_prefix(" HTTPS://Account.blob.example/images ") == "https://account.blob.example:443/images/"
