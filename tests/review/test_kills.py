"""The server killed at random moments: every decision is stored once."""

from __future__ import annotations

import random
import signal
import threading
from contextlib import ExitStack, contextmanager

import pytest

pytest.importorskip("deltalake")

from pipelines.config.loader import load_settings
from pipelines.workspace.tables import Tables
from tests.azurite import free_port

from .browser import READY, chromium, open_page, press, server, wait_for, wait_until_sent
from .made import Made, make_workspace

pytestmark = [pytest.mark.browser, pytest.mark.process]

HAS_MORE = "document.body.dataset.end === 'false'"


@contextmanager
def review(workspace, logs, count, kills, seed):
    """Decide about `count` bursts of one image by keyboard while the server is killed; yield the last server."""
    chance = random.Random(seed)
    with ExitStack() as stack, chromium() as browser:
        port = str(free_port())  # other tests' servers take the default one
        running = stack.enter_context(server(workspace, logs / "server-0.log", "--port", port))
        page = open_page(browser, running.url)
        pressed = 0
        for number in range(1, kills + 1):
            share = count * number // (kills + 1) - pressed
            killer = threading.Timer(chance.uniform(0, 0.1 * share), running.kill)
            killer.start()
            while share and page.evaluate(HAS_MORE):  # what was loaded is decided without a server
                press(page, chance.choice("1e"))
                share, pressed = share - 1, pressed + 1
            killer.join()
            running = stack.enter_context(server(workspace, logs / f"server-{number}.log", "--port", port))
            page.goto(running.url)
            page.wait_for_selector(READY)
        for _ in range(count - pressed):
            wait_for(page, HAS_MORE)
            press(page, chance.choice("1e"))
        wait_until_sent(page)
        assert page.faults == []
        yield running


def check(spark, workspace, count):
    labels = Tables.of(spark, load_settings(None, {"workspace": str(workspace)})).read("labels").collect()
    assert len(labels) == count
    assert len({row["decision_id"] for row in labels}) == len({row["content_hash"] for row in labels}) == count


def test_a_killed_server_loses_nothing_and_ctrl_c_stores_all(spark, tmp_path):
    workspace = make_workspace(tmp_path / "workspace", [Made(f"r{i:03}", (0.9,), needs_review=True) for i in range(30)])
    with review(workspace, tmp_path, 30, 1, seed=1) as running:
        assert running.end(signal.SIGINT) == 0
    assert running.output().splitlines()[-1].endswith("decisions stored. Next: irbis train")
    check(spark, workspace, 30)


@pytest.mark.slow
def test_300_decisions_and_ten_kills(spark, tmp_path):
    workspace = make_workspace(
        tmp_path / "workspace", [Made(f"r{i:03}", (0.9,), needs_review=True) for i in range(300)]
    )
    with review(workspace, tmp_path, 300, 10, seed=33) as running:
        running.kill()  # once more: nothing is merged
    with server(workspace, tmp_path / "last.log") as last:
        assert last.end(signal.SIGTERM) == 143
        assert "review: no decisions" in last.output()
    from pipelines.workspace.journals import merge_journals

    tables = Tables.of(spark, load_settings(None, {"workspace": str(workspace)}))
    assert merge_journals(tables) == 300
    assert merge_journals(tables) == 0
    check(spark, workspace, 300)
