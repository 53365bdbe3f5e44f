"""Starting the server: missing packages, ports, the browser."""

from __future__ import annotations

import builtins
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import url2pathname

import pytest

from pipelines.errors import PlatformError
from pipelines.review import server
from pipelines.review.spark_start import start_once


def test_the_browser_gets_the_key_in_a_file_of_the_user_not_in_its_arguments(monkeypatch):
    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    with server.open_browser("http://127.0.0.1:8765/?key=secret"):
        (address,) = opened
        assert address.startswith("file:///") and "secret" not in address
        path = Path(url2pathname(address.removeprefix("file://")))
        assert "0;url=http://127.0.0.1:8765/?key=secret" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


@pytest.mark.process
def test_starting_the_page_imports_neither_spark_nor_delta():
    script = (
        "import sys, pipelines.cli.review, pipelines.review.server, pipelines.review.app, pipelines.review.load;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "'starlette'" in loaded
    assert not [name for name in ("pyspark", "py4j", "delta", "mlflow") if f"'{name}'" in loaded]


@pytest.mark.process
def test_java_is_started_before_anything_that_needs_spark_is_imported():
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipelines.config.loader import load_settings\n"
        "from pipelines.review.load import Loader\n"
        "from pipelines.review.merge import Merger\n"
        "def start():\n"
        "    print([name for name in ('pyspark', 'pipelines.workspace.tables') if name in sys.modules])\n"
        "    raise OSError('no Java')\n"
        "settings = load_settings(None, {'workspace': 'az://account/container/w'})\n"
        "loader = Loader(settings, 'abfss://container@account.dfs.core.windows.net/w', start)\n"
        "for call in (Merger(settings, start).merge, loader.versions, lambda: loader.load_decisions(())):\n"
        "    try:\n"
        "        call()\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["[]", "no Java"] * 3


def test_spark_is_started_once_whatever_threads_need_it_and_again_after_an_error():
    starts = []

    def start():
        starts.append(threading.get_ident())
        time.sleep(0.1)
        if len(starts) == 1:
            raise PlatformError("no Java")
        return len(starts)

    get = start_once(start)
    with pytest.raises(PlatformError):
        get()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: get(), range(8))) == [2] * 8


def test_a_missing_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PlatformError) as raised:
        server.require_packages()
    assert str(raised.value) == (
        "irbis review needs packages that are not installed (starlette, uvicorn). "
        "Install them: pip install 'irbis[review]'."
    )


def test_two_servers_get_two_ports_and_a_port_that_is_taken_is_named():
    with server.listen("127.0.0.1", None) as first, server.listen("127.0.0.1", None) as second:
        ports = [each.getsockname()[1] for each in (first, second)]
        assert len(set(ports)) == 2 and first.getsockname()[0] == "127.0.0.1"
        with pytest.raises(PlatformError) as raised:
            server.listen("127.0.0.1", ports[0])
    assert str(raised.value) == (
        f"--host 127.0.0.1 --port {ports[0]}: cannot listen there (Address already in use). "
        "Choose another port, or none."
    )


def test_without_a_screen_no_browser_is_opened(monkeypatch):
    monkeypatch.setattr(server.sys, "platform", "linux")
    monkeypatch.setattr(server.webbrowser, "open", lambda _: pytest.fail("opened"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with server.open_browser("http://127.0.0.1:8765/?key=secret"):
        pass
