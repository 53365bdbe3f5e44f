"""Chromium, and `irbis review` in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.workspace.journal_files import parse_line

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READY = "body[data-ready]"


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser, or skip the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Server:
    """`irbis review` on a workspace; `url` is the address that it printed."""

    def __init__(self, workspace: Path, log: Path, *words: str) -> None:
        command = [
            sys.executable,
            "-m",
            "pipelines.cli",
            "review",
            "--no-browser",
            "--workspace",
            str(workspace),
            *words,
        ]
        self.log = log.open("w+")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, start_new_session=True, env=_env(log)
        )
        self.url = self._wait_for_url()

    def _wait_for_url(self) -> str:
        for _ in range(1200):
            found = re.search(r"http://\S+", self.output())
            if found:
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self.output()}")

    def output(self) -> str:
        return Path(self.log.name).read_text()

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=300)


def _env(log: Path) -> dict[str, str]:
    return {**os.environ, "IRBIS_RUNS__HISTORY_DIR": str(log.parent / "ledger")}


@contextmanager
def server(workspace: Path, log: Path, *words: str) -> Iterator[Server]:
    """Run a server while the block runs."""
    running = Server(workspace, log, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def open_page(browser: Any, url: str, *, width: int = 1366, height: int = 768) -> Any:
    """Return a page that has loaded its first bursts; a test fails on any error of its scripts."""
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: _note(page, message))
    page.goto(url)
    page.wait_for_selector(READY)
    return page


def _note(page: Any, message: Any) -> None:
    if "Content Security Policy" in message.text or (message.type == "error" and "Failed to load" not in message.text):
        page.faults.append(message.text)


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def wait_until_sent(page: Any) -> None:
    page.wait_for_selector('body[data-unsent="0"]')


def current(page: Any) -> str:
    """Return the id of the current burst."""
    return str(page.locator(".row.current").get_attribute("data-burst"))


def verdicts(page: Any) -> dict[str, str]:
    """Return what is decided, by burst, as the page shows it."""
    script = """rows => Object.fromEntries(rows.map(row =>
        [row.dataset.burst, row.querySelector(".verdict b")?.textContent ?? ""]))"""
    return dict(page.locator(".row").evaluate_all(script))


def wait_for(page: Any, script: str, seconds: float = 30) -> None:
    """Wait until a script is true; Playwright's own function needs eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, f"never true: {script}"
        page.wait_for_timeout(50)


def journal(workspace):
    """Return the decisions in the journals, oldest first."""
    lines = [
        line for path in (workspace / "review" / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()
    ]
    return sorted((parse_line(line)[0] for line in lines), key=lambda each: each.reviewed_at)


def standing(workspace):
    """Return label by burst, as the table would have it."""
    decisions = journal(workspace)
    undone = {each.undoes for each in decisions}
    kept = [each for each in decisions if each.action not in ("undo", "skip") and each.decision_id not in undone]
    return {each.burst_id: each.label for each in kept}
