"""Labels that people type: their spelling, their length, and their keys."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from .conftest import SURVEY, client_of
from .made import Made
from .test_decisions import stored
from .test_security import decision, post


def test_a_label_known_in_another_case_gets_its_known_spelling(client):
    for choice in (decision(label="HARE"), decision("b3", 2, label="Otter"), decision("b4", 1, label="otter")):
        post(client, choice)
    assert sorted({row.label for row in stored(client)}) == ["Otter", "hare"]


def test_a_label_in_use_may_be_longer_than_one_that_is_typed(open_review):
    long = "species " * 20 + "x"
    client = client_of(open_review((*SURVEY, Made("long", (0.9,), label=long))))
    assert post(client, decision(label=long)).status_code == 200
    assert {row.label for row in stored(client)} == {long}
    assert post(client, decision(label=long + "x")).status_code == 422


def test_a_typed_label_gets_a_free_key_for_all_windows(client):
    sent = post(client, decision(label="otter"), decision("b3", 2, label="blank"), decision("b4", 1, label="Hare"))
    expected = {"fox": "1", "hare": "2", "otter": "3"}
    assert (sent.json()["keys"], sent.json()["labels"]) == (expected, ["blank", "fox", "hare", "otter"])
    assert client.get("/api/changes", params={"queue": "review"}).json()["keys"] == expected
