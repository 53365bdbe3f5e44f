"""A survey that irbis itself ingested, trained and scored, reviewed by keyboard from the first burst to the last."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("deltalake")

from pipelines.stages.score import stage as score
from pipelines.workspace.labels import effective_images
from pipelines.workspace.tables import Tables

from ..stages.conftest import champion, featurized, trained  # noqa: F401  # fixtures
from .browser import chromium, current, open_page, press, server, wait_for, wait_until_sent

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_every_burst_is_decided_by_keyboard_and_every_decision_is_in_the_table(spark, trained, tmp_path):  # noqa: F811
    score.run(spark, trained)
    tables = Tables.of(spark, trained)
    images = tables.latest_images().where("failure is null")
    truth = {row["burst_id"]: row["label"] for row in images.collect()}
    predicted = {row["burst_id"]: row["burst_prediction"] for row in tables.read("predictions").collect()}
    keys = {"plain": "1", "striped": "2"}
    with (
        chromium() as browser,
        server(tables.workspace, tmp_path / "server.log", "--queue", "class", "--reviewer", "ada") as running,
    ):
        page = open_page(browser, running.url)
        seen = []
        for _ in truth:
            burst = current(page)
            seen.append(burst)
            press(page, "Enter" if predicted[burst] == truth[burst] else keys[truth[burst]])
            wait_for(page, f"document.querySelector('.row.current').dataset.burst !== {burst!r} || {len(seen)} === 60")
        wait_until_sent(page)
        assert sorted(seen) == sorted(truth) and len(seen) == 60
        assert page.faults == []
        assert running.end(signal.SIGINT) == 0
        assert running.output().splitlines()[-1] == "review: 180 decisions stored. Next: irbis train"
    labels = tables.read("labels").collect()
    assert {row["burst_id"]: row["label"] for row in labels} == truth
    right = {row["burst_id"] for row in labels if row["action"] == "confirm"}
    assert right == {burst for burst in truth if predicted[burst] == truth[burst]}
    assert len(labels) == 180 == len({row["decision_id"] for row in labels})
    assert {(row["reviewer"], row["queue"], row["is_model_chosen"]) for row in labels} == {("ada", "class", False)}
    sources = {row["label_source"] for row in effective_images(tables).where("failure is null").collect()}
    assert sources == {"person"}
