"""Several reviewers: all decisions are kept, the newest counts, and the page shows where they differ."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines.schemas import Decision
from pipelines.workspace.journal_files import format_line

from .conftest import client_of
from .made import NOON, hash_of
from .test_security import decision, post


def test_two_servers_see_the_decisions_of_each_other_and_the_conflict(client, open_review):
    other = client_of(open_review(session="other", reviewer="ben"))
    post(client, decision())
    post(other, decision(label="hare"))
    for each in (client, other):
        changed = each.get("/api/changes", params={"queue": "review"}).json()
        item = {item["burst"]: item for item in changed["items"]}["b1"]
        assert item["labels"] == ["hare"]  # the newest counts
        assert [(one["reviewer"], one["label"]) for one in item["conflict"]] == [("ben", "hare"), ("ada", "fox")]
    agreed = post(client, decision(label="hare")).json()["items"][0]
    assert agreed["conflict"] == []


def test_a_line_that_another_server_is_writing_is_read_when_it_is_whole(open_review, tmp_path):
    decisions = open_review().decisions
    line = format_line(Decision("a", hash_of("b4", 0), "p", "fox", "correct", reviewed_at=NOON, session="other"))
    journal = tmp_path / "workspace" / "review" / "journal" / "other.jsonl"
    journal.parent.mkdir(parents=True)
    for start, end, expected in ((0, 40, 0), (40, -1, 0), (-1, None, 1)):
        with journal.open("ab") as file:
            file.write(line[start:end])
        decisions.refresh()
        assert decisions.is_decided.sum() == expected


def test_two_windows_of_one_server(client):
    first = post(client, decision()).json()["items"][0]
    assert first["conflict"] == []
    second = post(client, decision(label="hare", seen=None)).json()["items"][0]  # it had not been shown the first
    assert [one["label"] for one in second["conflict"]] == ["hare", "fox"]


def test_a_correction_in_the_same_window_is_no_conflict(client):
    first = post(client, decision()).json()["items"][0]
    second = post(client, decision(label="hare", seen=first["decision"]["id"])).json()["items"][0]
    assert (second["labels"], second["conflict"]) == (["hare"], [])


def test_a_correction_before_the_server_has_answered_is_no_conflict(client):
    first = decision()
    second = post(client, first, decision(label="hare", seen=first["id"])).json()["items"][0]
    assert (second["labels"], second["conflict"]) == (["hare"], [])
