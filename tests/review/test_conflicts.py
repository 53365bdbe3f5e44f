"""Several reviewers: all decisions are kept, the newest counts, and the page shows where they differ."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from .conftest import client_of
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
