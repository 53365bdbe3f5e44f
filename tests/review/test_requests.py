"""Details of requests: pages, copies of an image, times, and repeated decisions."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines import schemas
from pipelines.review import queues

from .conftest import client_of
from .made import Made, hash_of, image_rows, jpeg, path_of, write_table
from .test_decisions import stored
from .test_security import decision, post


@pytest.mark.parametrize("values", [{"start": -1}, {"count": 0}, {"count": 101}])
def test_a_page_has_limits(client, values):
    answer = client.get("/api/queue", params=values)
    assert (answer.status_code, answer.json()) == (422, {"error": "start is at least 0, and count 1 to 100."})


def test_a_page_of_open_bursts_begins_where_it_was_asked_for(client):
    post(client, decision())  # b1, the second
    positions = [
        [(item["burst"], item["position"]) for item in client.get("/api/queue", params=values).json()["items"]]
        for values in ({"open": 1, "start": 1}, {"open": 1, "start": 0, "count": 2}, {"start": 1, "count": 2})
    ]
    assert positions == [[("b6", 2), ("b2", 3)], [("b0", 0), ("b6", 2)], [("b1", 1), ("b6", 2)]]


@pytest.mark.parametrize(
    ("sent", "kept"), [(2.5, 2.5), (1e9, 86_400.0), (-1, None), (True, None), ("3", None), (None, None)]
)
def test_the_time_of_a_decision_is_a_day_at_most(client, sent, kept):
    post(client, decision(seconds=sent))
    assert {row.seconds for row in stored(client)} == {kept}


def test_a_decision_about_copies_belongs_to_the_burst_that_was_shown(client, tmp_path):
    (row,) = image_rows([Made("copy", (0.5,))])
    row |= {"content": jpeg("b1/0"), "content_hash": hash_of("b1", 0)}
    write_table(tmp_path / "workspace", "images", schemas.IMAGES, [row])
    client.opened.live.update()
    for burst in ("copy", "b1"):
        post(client, decision(burst, contents=[hash_of("b1", 0)]))
    assert [(each.burst_id, each.path) for each in stored(client)] == [
        ("copy", path_of("copy", 0)),
        ("b1", path_of("b1", 0)),
    ]


def test_who_agrees_with_the_label_of_the_source_confirms_it(open_review):
    client = client_of(open_review((Made("x", (None,), label="fox"), Made("y", (None,))), has_champion=False))
    post(client, decision("x", 1, queue="suggest"), decision("y", 1, queue="suggest"))
    assert [(row.action, row.predicted, row.score) for row in stored(client)] == [
        ("confirm", None, None),
        ("correct", None, None),
    ]


def test_a_repeated_decision_is_no_conflict(client):
    choice = decision()
    for _ in range(2):
        item = post(client, choice).json()["items"][0]
    changed = decision(label="hare", seen=choice["id"])
    for _ in range(2):
        item = post(client, changed).json()["items"][0]
    assert (item["labels"], item["conflict"]) == (["hare"], [])


def test_a_list_that_is_too_large_is_not_read(client, monkeypatch, tmp_path):
    target = tmp_path / "workspace" / "review" / "suggestions.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text('{"items": []}')
    monkeypatch.setattr(queues, "MAX_FILE_BYTES", 5)
    note = client.get("/api/queue?queue=suggest").json()["note"]
    assert note == f"{target} cannot be read (more than 5 bytes). Run `irbis suggest` again."


def test_a_burst_of_which_no_image_can_be_read_is_in_no_queue(open_review):
    client = client_of(open_review((Made("bad", (None,), failure="truncated"), Made("good", (0.9,), True))))
    for queue in ("review", "audit", "suggest", "class", "search&text=survey"):
        bursts = {item["burst"] for item in client.get(f"/api/queue?queue={queue}").json()["items"]}
        assert bursts <= {"good"}, queue
    assert {item["burst"] for item in client.get("/api/queue?queue=search&text=SURVEY").json()["items"]} == {"good"}
