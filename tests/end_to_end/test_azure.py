"""From a container to a report as a user types it; and nothing that was written, said or shown holds a secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from pipelines.config.loader import load_settings
from pipelines.runs.package import to_cli_args
from pipelines.workspace.tables import Tables
from tests.azurite import KEY, free_port

from ..stages.conftest import survey_images
from .conftest import CHEAP, closing_lines

# Everything that logs is logged, by the driver and by Spark.
LOUD = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from pipelines.cli.app import main
main(sys.argv[1:])
"""
SIGNED = re.compile(rb"sig=(?!\*\*\*)[A-Za-z0-9%+/]{8}")
PLAIN = re.match(r"\w+", KEY)[0].encode()  # its longest part that HTML, JSON and addresses write as it is
PAGES = ("environment/", "jobs/", "stages/", "executors/", "SQL/", "api/v1/applications")
LISTS = ("environment", "jobs", "stages?details=true", "allexecutors", "sql?details=true&planDescription=true")


class Watch(threading.Thread):
    """Read the pages and the REST lists of a Spark UI again and again while the block runs.

    `read` counts what was read, `leaks` names what showed a secret, `settings` holds Spark's settings as last shown.
    """

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.root, self.browser = f"http://127.0.0.1:{port}", build_opener(ProxyHandler({}))
        self.read, self.leaks, self.settings, self.over = Counter[str](), set[str](), b"", threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(2):
            try:
                *_, applications = [self.get(page, page) for page in PAGES]
                root = f"api/v1/applications/{json.loads(applications)[0]['id']}"
                self.settings, *_ = [self.get(f"{root}/{name}", name) for name in LISTS]
            except (OSError, HTTPException, ValueError):  # not there yet, or no more
                continue

    def get(self, path: str, name: str) -> bytes:
        answer: bytes = self.browser.open(f"{self.root}/{path}", timeout=20).read()
        self.read[name] += 1
        if PLAIN in answer or SIGNED.search(answer):
            self.leaks.add(path)
        return answer


def test_a_container_becomes_a_report_and_no_secret_is_left_anywhere(container, spark, tmp_path):
    for name, content in survey_images().items():
        container.upload_blob(f"2024/{name}", content)
    (tmp_path / "w/events").mkdir(parents=True)
    port = free_port()
    words = ["run", "--images", f"{container.url}/2024", "--workspace", "w", "--verbose"]
    settings = {
        **CHEAP,
        "sources.station": "folder:1",
        "spark.conf.spark.ui.enabled": "true",
        "spark.conf.spark.ui.port": port,
        "spark.conf.spark.eventLog.enabled": "true",
        "spark.conf.spark.eventLog.compress": "false",
        "spark.conf.spark.eventLog.dir": (tmp_path / "w/events").as_uri(),
    }
    with Watch(port) as watch:
        done = subprocess.run(
            [sys.executable, "-c", LOUD, *words, *to_cli_args(settings)],
            cwd=tmp_path,
            env={**os.environ, "IRBIS_AZURE__ACCOUNT_KEY": KEY},
            capture_output=True,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:].decode()
    lines = closing_lines(done.stdout.decode())
    assert "ingest: 180 read, 180 written, 0 failed" in lines["ingest"]
    assert lines["report"].endswith("report.html")
    assert b"DEBUG:urllib3" in said  # it was loud indeed
    assert KEY.encode() not in said and not SIGNED.search(said)
    files = [path for path in (tmp_path / "w").rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content and not SIGNED.search(content), path
    (events,) = (tmp_path / "w/events").iterdir()
    assert b"SparkListenerEnvironmentUpdate" in events.read_bytes()
    assert all(watch.read[name] for name in (*PAGES, *LISTS)), watch.read
    assert b"spark.ui.port" in watch.settings and not watch.leaks
    tables = Tables.of(spark, load_settings(None, {"workspace": str(tmp_path / "w")}))
    for name in ("images", "predictions"):
        paths = [row["path"] for row in tables.read(name).select("path").collect()]
        assert len(paths) == 180 and all(path.startswith(f"{container.url}/2024/S") for path in paths)
