"""Where weights are found: given, packaged, cached, or downloaded with their checksum."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torchvision.models import SqueezeNet1_1_Weights

from pipelines.backbones import weights
from pipelines.backbones.weights import find_weights
from pipelines.errors import WeightsError

PUBLISHED = "squeezenet1_1-b8a52dc0.pth"
ADDRESS = SqueezeNet1_1_Weights.DEFAULT.url
CONTENT = b"what the server holds" * 1000
DOWNLOAD = torch.hub.download_url_to_file  # the real function, never called with a real address


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the folder of packaged weights by an empty one."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(weights, "PACKAGED_WEIGHTS_DIR", folder)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block network access in all tests."""

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


class _Server(BaseHTTPRequestHandler):
    """Serve /whole in full and /cut to one half, never answer /silent, and answer anything else with 404."""

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.server.is_over.wait()  # type: ignore[attr-defined]
            return
        if self.path not in ("/whole", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[: len(CONTENT) // 2])

    def log_message(self, format: str, *args: Any) -> None:
        """Suppress log lines."""


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str | None], list[str]]]:
    """Return a function that redirects downloads to a local server, with another checksum if one is passed.

    It returns a list to which the requested addresses and checksums are appended.
    """
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.is_over = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def lead(path: str, checksum: str | None = None) -> list[str]:
        requested: list[str] = []

        def download(url: str, dst: str, hash_prefix: str, progress: bool) -> None:
            requested.extend([url, hash_prefix])
            DOWNLOAD(f"http://127.0.0.1:{server.server_port}/{path}", dst, checksum or hash_prefix, progress)

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        return requested

    yield lead
    server.is_over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def put(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def test_given_comes_before_shipped_before_cached(tmp_path: Path, shipped: Path) -> None:
    cache = tmp_path / "cache"
    (cached,) = put(cache, PUBLISHED)
    assert find_weights("squeezenet1_1", None, str(cache)) == cached
    (own,) = put(shipped, "squeezenet1_1.safetensors")
    assert find_weights("squeezenet1_1", None, str(cache)) == own
    (given,) = put(tmp_path, "ours.PTH")
    assert find_weights("squeezenet1_1", str(given), str(cache)) == given


def test_only_whole_files_of_the_very_backbone_are_taken_from_the_cache(tmp_path: Path) -> None:
    put(tmp_path, "mobilenet_v2x.pth", "squeezenet1_10.pth", "mobilenet_v2.txt", f"{PUBLISHED}.0a1b.partial")
    (tmp_path / "mobilenet_v2-folder.pth").mkdir()
    for name in ("mobilenet_v2", "squeezenet1_1"):
        with pytest.raises(WeightsError, match="cannot be downloaded"):
            find_weights(name, None, str(tmp_path))
    second, first = put(tmp_path, "mobilenet_v2_ours.safetensors", "mobilenet_v2-7ebf99e0.pth")
    assert find_weights("mobilenet_v2", None, str(tmp_path)) == first
    first.unlink()
    assert find_weights("mobilenet_v2", None, str(tmp_path)) == second


@pytest.mark.parametrize(
    ("given", "reason"),
    [("gone.pth", "there is no such file"), ("", "there is no such file"), ("notes.txt", "ends in .safetensors or")],
)
def test_a_given_file_that_cannot_be_weights_is_refused(tmp_path: Path, given: str, reason: str) -> None:
    put(tmp_path, "notes.txt")
    with pytest.raises(WeightsError, match=rf"featurize.weights = .*: .*{reason}"):
        find_weights("squeezenet1_1", str(tmp_path / given), str(tmp_path))


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (file,) = put(tmp_path / "cache", PUBLISHED)
    assert find_weights("squeezenet1_1", None, "~/cache") == file
    assert find_weights("squeezenet1_1", f"~/cache/{PUBLISHED}", "") == file


def test_offline_the_error_says_which_file_to_put_where(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(WeightsError) as caught:
        find_weights("squeezenet1_1", None, str(cache))
    assert str(caught.value) == (
        f"The weights of squeezenet1_1 are not in {cache} and cannot be downloaded "
        f"(<urlopen error Name or service not known>). Put {PUBLISHED} there "
        f"(from {ADDRESS}), or choose a file: --weights FILE."
    )


def test_a_cache_that_cannot_be_made_is_a_weights_error(tmp_path: Path) -> None:
    put(tmp_path, "file")
    with pytest.raises(WeightsError, match=rf"are not in .*file.*Put {PUBLISHED} there"):
        find_weights("squeezenet1_1", None, str(tmp_path / "file" / "cache"))


def test_a_package_without_its_own_weights_says_so(tmp_path: Path, shipped: Path) -> None:
    with pytest.raises(WeightsError, match=f"The weights of irbis_tiny are not in {shipped}: reinstall"):
        find_weights("irbis_tiny", None, str(tmp_path))


def test_a_download_is_checked_against_the_published_checksum_and_kept(
    tmp_path: Path, downloads: Callable[..., list[str]]
) -> None:
    requested = downloads("whole", hashlib.sha256(CONTENT).hexdigest()[:8])
    path = find_weights("squeezenet1_1", None, str(tmp_path / "new" / "cache"))
    assert requested == [ADDRESS, "b8a52dc0"]
    assert path == tmp_path / "new" / "cache" / PUBLISHED
    assert path.read_bytes() == CONTENT
    requested.clear()
    assert find_weights("squeezenet1_1", None, str(path.parent)) == path
    assert requested == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [("whole", "invalid hash value"), ("cut", "invalid hash value"), ("gone", "HTTP Error 404")],
)
def test_a_download_that_is_wrong_cut_off_or_gone_leaves_nothing_behind(
    tmp_path: Path, downloads: Callable[..., list[str]], path: str, reason: str
) -> None:
    downloads(path)
    with pytest.raises(WeightsError, match=rf"cannot be downloaded \({reason}.*Put {PUBLISHED} there"):
        find_weights("squeezenet1_1", None, str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(
    tmp_path: Path, downloads: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads("whole")
    began: list[Path] = []

    class Interrupted:
        def __init__(self) -> None:
            began.extend((tmp_path / "cache").iterdir())

        def update(self, _: bytes) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.hub.hashlib, "sha256", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_weights("squeezenet1_1", None, str(tmp_path / "cache"))
    assert len(began) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, downloads: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads("silent")
    monkeypatch.setattr(weights, "DOWNLOAD_TIMEOUT", 0.2)
    before = socket.getdefaulttimeout()
    with pytest.raises(WeightsError, match=rf"cannot be downloaded \(.*timed out.*Put {PUBLISHED} there"):
        find_weights("squeezenet1_1", None, str(tmp_path / "cache"))
    assert socket.getdefaulttimeout() == before
