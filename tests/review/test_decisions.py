"""Decisions over the API: what they store, undo, conflicts, repetition, other sessions."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines.schemas import LABELS, Decision
from pipelines.workspace.journal_files import format_line, parse_line, read_new_lines

from .conftest import SURVEY, client_of
from .made import NOON, hash_of, path_of, write_table
from .test_security import decision, post, undo


def stored(client):
    path = client.opened.decisions._writer.path
    return [parse_line(line)[0] for line in path.read_bytes().splitlines()] if path.exists() else []


def test_a_burst_is_decided_as_a_whole_one_row_for_each_image(client):
    sent = post(client, decision(queue="review", seconds=2.25))
    assert sent.status_code == 200
    rows = stored(client)
    assert [row.content_hash for row in rows] == [hash_of("b1", i) for i in range(3)]
    first = rows[0]._replace(decision_id="", reviewed_at=None)
    assert first == type(first)(
        "",
        hash_of("b1", 0),
        path_of("b1", 0),
        "fox",
        "confirm",
        scope="burst",
        predicted="fox",
        score=rows[0].score,
        model_version="1",
        burst_id="b1",
        group_id="g1",
        queue="review",
        is_model_chosen=True,
        reviewer="ada",
        seconds=2.25,
        session="session",
    )
    assert rows[0].score == pytest.approx((0.99 + 0.98 + 0.2) / 3)  # of the burst
    item = sent.json()["items"][0]
    assert (item["state"], item["labels"], item["decision"]["label"]) == ("done", ["fox"], "fox")
    assert sent.json()["progress"]["done"] == 1 and sent.json()["progress"]["total"] == 4


def test_unreadable_frames_are_not_decided(client):
    assert post(client, decision("b6", [1])).status_code == 200
    assert [row.path for row in stored(client)] == [path_of("b6", 1)]


def test_one_image_of_a_burst(client):
    item = post(client, decision(frames=[2], scope="image", label="hare")).json()["items"][0]
    (row,) = stored(client)
    assert (row.path, row.action, row.scope, row.predicted, row.score) == (
        path_of("b1", 2),
        "correct",
        "image",
        "blank",
        0.8,
    )
    assert [frame["decided"] for frame in item["frames"]] == [False, False, True]
    assert (item["state"], item["labels"]) == ("open", ["hare"])


def test_a_repeated_request_writes_nothing_twice(client):
    choice = decision()
    for _ in range(3):
        assert post(client, choice).json()["stored"] == [choice["id"]]
    assert len(stored(client)) == 3


def test_undo_restores_the_label_before_and_what_was_chosen_by_the_model_stays_so(client):
    choice = decision("b5", 1, label="hare")
    post(client, choice)
    item = post(client, undo(choice)).json()["items"][0]
    assert (item["state"], item["labels"], item["decision"]) == ("open", ["fox"], None)
    first, second = stored(client)
    assert (second.action, second.undoes, second.label) == ("undo", first.decision_id, None)
    assert (first.previous_label, second.previous_label) == ("fox", "hare")
    assert not first.is_model_chosen  # its group had the label of the source


def test_a_decision_and_its_undo_in_one_request(client):
    choice = decision()
    assert post(client, choice, undo(choice)).json()["items"][0]["state"] == "open"


def test_several_steps_of_undo_bring_back_what_was_in_force_before_each(client, open_review):
    choices = [decision(label=label) for label in ("fox", "hare", "otter")]
    post(client, *choices)
    for choice, labels, state in zip(choices[::-1], (["hare"], ["fox"], []), ("done", "done", "open"), strict=True):
        for _ in range(2):  # repeated: taken back once
            item = post(client, undo(choice)).json()["items"][0]
            assert (item["labels"], item["state"]) == (labels, state)
    assert not open_review(session="later").decisions.is_decided.any()


@pytest.mark.parametrize(
    ("queue", "burst", "frames", "expected"),
    [
        ("review", "b1", 3, True),
        ("audit", "b3", 2, True),
        ("class", "b3", 2, True),
        ("suspects", "b3", 2, True),
        ("search", "b3", 2, False),
        ("suggest", "b3", 2, False),  # no file: drawn at random
        ("review", "b5", 1, False),  # labelled by the source
    ],
)
def test_is_model_chosen(client, queue, burst, frames, expected):
    post(client, decision(burst, frames, queue=queue))
    assert {row.is_model_chosen for row in stored(client)} == {expected}


def test_the_second_burst_of_a_group_is_not_chosen_by_the_model_any_more(client):
    post(client, decision("b0", 2))
    post(client, decision("b2", 1))
    assert [row.is_model_chosen for row in stored(client)] == [True, True, False]


def test_cannot_tell_is_a_decision_and_skip_is_none(client):
    items = post(client, decision(action="unknown"), decision("b3", 2, action="skip")).json()["items"]
    assert [(item["state"], item["labels"]) for item in items] == [("done", []), ("skipped", [])]
    assert [(row.action, row.label) for row in stored(client)] == [("unknown", None)] * 3 + [("skip", None)] * 2


def test_decided_and_skipped_bursts_leave_the_queue_and_a_restart_brings_the_skipped_back(client, open_review):
    post(client, decision("b0", 2), decision("b6", [1], action="skip"))
    left = client.get("/api/queue", params={"queue": "review", "open": "1"}).json()
    assert [item["burst"] for item in left["items"]] == ["b1", "b2"]
    again = client_of(open_review(session="later"))
    left = again.get("/api/queue", params={"queue": "review", "open": "1"}).json()
    assert [item["burst"] for item in left["items"]] == ["b1", "b6", "b2"]
    assert (left["progress"]["done"], left["progress"]["total"]) == (1, 4)


def test_decisions_of_the_table_and_of_journals_are_both_read(open_review, tmp_path):
    opened = open_review()
    post(client_of(opened), decision("b0", 2, label="hare"))
    row = {"decision_id": "d", "content_hash": hash_of("b4", 0), "path": "p", "label": "otter", "action": "correct"}
    more = {"reviewed_at": NOON, "is_model_chosen": False, "session": "old", "queue": "import"}
    write_table(tmp_path / "workspace", "labels", LABELS, [{**row, **more}])
    again = open_review(session="again").decisions
    assert again.label_names[-1] == "hare" and "otter" in again.label_names
    assert sorted(filter(None, {again.label_of(i) for i in range(len(again.snapshot))})) == ["fox", "hare", "otter"]


def test_a_torn_last_line_is_not_read_and_a_full_disk_loses_nothing(client, open_review, monkeypatch):
    import pipelines.review.journal as journal

    post(client, decision("b0", 2))
    path = client.opened.decisions._writer.path
    whole = path.read_bytes()
    real = journal.os.write

    def full(descriptor, data):
        real(descriptor, bytes(data)[:40])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "write", full)
    sent = post(client, decision())
    assert (sent.status_code, sent.json()) == (
        507,
        {"error": "The journal cannot be written: No space left on device."},
    )
    assert path.read_bytes() == whole
    monkeypatch.undo()
    with path.open("ab") as file:
        file.write(b'{"decision_id": "torn')
    decisions = open_review(session="later").decisions
    assert decisions.is_decided.sum() == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_flushed_to_the_disk_is_not_acknowledged(client, monkeypatch):
    import pipelines.review.journal as journal

    post(client, decision("b0", 2))
    path = client.opened.decisions._writer.path
    whole = path.read_bytes()

    def refuse(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal.os, "fsync", refuse)
    sent = post(client, decision())
    assert (sent.status_code, sent.json()) == (507, {"error": "The journal cannot be written: Input/output error."})
    assert path.read_bytes() == whole and client.opened.decisions.is_decided.sum() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"action": "improve"},
        {"action": "unknown"},  # with a label
        {"undoes": "b"},
        {"label": "\u200b"},
        {"reviewed_at": NOON.replace(tzinfo=None)},
        {"reviewed_at": None},
        {"path": ""},
    ],
)
def test_the_page_counts_no_line_that_the_merge_refuses(open_review, tmp_path, change):
    known = Decision("a", hash_of("b4", 0), "p", "otter", "correct", reviewed_at=NOON, session="other")
    journal = tmp_path / "workspace" / "review" / "journal" / "other.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(format_line(known._replace(**change)) + b'{"decision_id": 3, "action": "skip"}\n\n')
    opened = open_review()
    assert not opened.decisions.is_decided.any() and "a" not in opened.decisions
    with journal.open("ab") as file:
        file.write(format_line(known))
    opened.decisions.refresh()
    assert opened.decisions.is_decided.sum() == 1


def test_times_always_grow(client):
    decisions = client.opened.decisions
    times = [decisions.next_time() for _ in range(100)]
    assert all(b - a >= timedelta(microseconds=1) for a, b in pairwise(times))


def test_lines_of_the_journal_are_what_the_merge_reads(client):
    post(client, decision(label="  Häre\u200b "))
    path = client.opened.decisions._writer.path
    assert [line.decision for line in read_new_lines(path)] == stored(client)
    assert json.loads(path.read_bytes().splitlines()[0])["label"] == "Häre"
    assert len(SURVEY) == 7
