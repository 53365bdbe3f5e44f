"""A running server follows what other commands write: nothing that was decided, skipped or can be undone is lost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines import schemas
from pipelines.schemas import Decision
from pipelines.workspace.journal_files import format_line

from .conftest import SURVEY
from .made import NOON, Made, hash_of, image_rows, path_of, prediction_rows, write_champion, write_table
from .test_security import decision, post, undo

LATER = NOON + timedelta(days=1)
NEW = Made("b7", (0.65, 0.66), needs_review=True)


def add(workspace, *bursts, scored_by=None):
    """Append images, or the predictions of a version."""
    if scored_by:
        write_table(workspace, "predictions", schemas.PREDICTIONS, prediction_rows(bursts, scored_by, LATER))
    else:
        write_table(workspace, "images", schemas.IMAGES, image_rows(bursts, LATER))


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "workspace"


def bursts(client, queue="review"):
    return [item["burst"] for item in client.get(f"/api/queue?queue={queue}&open=1").json()["items"]]


def test_new_images_and_predictions_appear_and_what_was_decided_stays(client, workspace):
    live = client.opened.live
    done, skipped = decision("b0", 2, seconds=1), decision("b2", 1, action="skip")
    post(client, done, skipped)
    post(client, decision("b3", 2)), post(client, decision("b3", 2, label="hare", seen=None))  # in two windows
    before, rate = live.state, live.decisions.rate()
    live.update()
    assert live.state is before  # nothing has changed
    add(workspace, NEW)
    add(workspace, NEW, scored_by="1")
    live.update()
    assert live.state.notice == "Updated: 2 images more, 1 burst more with a prediction."
    assert bursts(client) == ["b7", "b1", "b6"]  # b0 is decided, b2 skipped
    assert (live.decisions.count, live.decisions.rate()) == (7, rate)
    (conflict,) = [item["conflict"] for item in post_bursts(client, ["b3"])["items"]]
    assert [one["label"] for one in conflict] == ["hare", "fox"]
    assert post(client, undo(done)).json()["items"][0]["state"] == "open"
    assert bursts(client) == ["b0", "b7", "b1", "b6"]
    assert client.get(f"/image/{hash_of('b7', 1)}/huge").status_code == 404
    assert live.read_content(hash_of("b7", 1)).startswith(b"\xff\xd8")


def test_a_decision_about_a_burst_that_has_grown_is_about_the_images_that_were_shown(client, workspace):
    add(workspace, Made("b1", (0.99, 0.98, 0.2, 0.9)))  # a fourth frame
    client.opened.live.update()
    item = post(client, decision("b1", 3)).json()["items"][0]
    assert [frame["decided"] for frame in item["frames"]] == [True, True, True, False]
    assert item["state"] == "open"


def test_a_decision_about_a_burst_with_another_id_or_without_some_images_is_kept(client, workspace):
    rows = image_rows([Made("b1", (0.9, 0.9))], LATER)
    gone = {**image_rows(SURVEY, LATER)[4], "content": None, "removed_at": LATER}
    assert gone["path"] == path_of("b1", 2)
    write_table(workspace, "images", schemas.IMAGES, [{**row, "burst_id": "other"} for row in rows] + [gone])
    client.opened.live.update()
    assert client.opened.live.state.notice == "Updated: 1 image fewer."
    item = post(client, decision("b1", 3)).json()["items"][0]
    assert (item["burst"], item["state"], item["labels"]) == ("other", "done", ["fox"])


def test_a_new_champion_is_shown_once_it_has_scored_as_many_images(client, workspace):
    live = client.opened.live
    write_champion(workspace, version=2)
    half = tuple(each._replace(fox=tuple(0.7 for _ in each.fox), needs_review=True) for each in SURVEY[:4])
    for scored in ((), half):
        if scored:
            add(workspace, *scored, scored_by="2")
        live.update()
        assert (str(live.state.loaded.version), live.state.notice) == ("irbis/1", "")
        assert bursts(client) == ["b0", "b1", "b6", "b2"]
    rest = tuple(each._replace(needs_review=False) for each in SURVEY[4:])
    add(workspace, *rest, scored_by="2")
    live.update()
    assert (str(live.state.loaded.version), live.state.notice) == ("irbis/2", "Updated: predictions of irbis/2.")
    assert set(bursts(client)) == {"b0", "b1", "b2", "b3"}
    post(client, decision())
    assert live.decisions.in_force(hash_of("b1", 0)).model_version == "2"


def test_labels_that_another_command_has_added_are_changes(client, workspace):
    live = client.opened.live
    version, count = live.state.version, len(live.decisions.changes)
    row = {"decision_id": "d", "content_hash": hash_of("b4", 0), "path": "p", "label": "otter", "action": "correct"}
    row |= {"reviewed_at": NOON, "is_model_chosen": False, "session": "import", "queue": "import", "reviewer": "eve"}
    for _ in range(2):  # once more: it is known
        write_table(workspace, "labels", schemas.LABELS, [row])
        live.update()
        changed = client.get("/api/changes", params={"queue": "audit", "start": count}).json()
        assert (changed["version"], changed["changes"]) == (version, count + 1)
        assert [(item["burst"], item["labels"]) for item in changed["items"]] == [("b4", ["otter"])]


def test_what_is_decided_while_the_tables_are_loaded_is_not_lost(client, workspace, monkeypatch):
    live = client.opened.live
    loader = type(live._loader)
    real = loader.load

    def slow(self, *given):
        loaded = real(self, *given)
        assert post(client, decision(label="hare")).status_code == 200
        assert client.get("/api/changes?queue=review").status_code == 200  # reads the journal
        return loaded

    monkeypatch.setattr(loader, "load", slow)
    former = live.decisions
    add(workspace, NEW)
    live.update()
    assert live.decisions is not former
    assert live.decisions.in_force(hash_of("b1", 0)).label == "hare" and live.decisions.count == 3
    other = Decision("a", hash_of("b4", 0), "p", "fox", "correct", reviewed_at=NOON, session="other")
    (workspace / "review" / "journal" / "other.jsonl").write_bytes(format_line(other))
    former.refresh()  # of a request that still has the former state
    assert live.refresh().decisions.is_decided.sum() == 4


def test_keys_stay_and_a_new_class_gets_a_free_one(client, workspace):
    live = client.opened.live
    assert live.state.keys.by_label == {"fox": "1", "hare": "2"}
    add(workspace, Made("b8", (0.1,), label="Aardvark"))
    live.update()
    answer = post_bursts(client, ["b1", "gone"])
    assert answer["keys"] == {"fox": "1", "hare": "2", "Aardvark": "3"}
    assert [(item["burst"], item["position"]) for item in answer["items"]] == [("b1", 1)]


def post_bursts(client, names):
    return client.post("/api/bursts", json={"bursts": names, "queue": "review"}).json()


def test_a_suggestion_that_a_model_chose_stays_so_when_the_list_is_written_anew(client, workspace):
    (workspace / "review").mkdir(exist_ok=True)
    target = workspace / "review" / "suggestions.json"
    item = {"content_hash": hash_of("b4", 0), "reason": "margin", "is_model_chosen": True}
    target.write_text(json.dumps({"items": [item]}))
    (shown,) = client.get("/api/queue?queue=suggest").json()["items"]
    version = client.opened.live.state.version
    target.write_text(json.dumps({"items": [{**item, "content_hash": hash_of("b3", 0), "is_model_chosen": False}]}))
    assert client.opened.live.state.version != version
    chosen = {"is_model_chosen": shown["is_model_chosen"], "queue": "suggest"}
    post(client, decision("b4", 1, **chosen), decision("b3", 2, queue="suggest", is_model_chosen="yes"))
    decisions = client.opened.live.decisions
    assert decisions.in_force(hash_of("b4", 0)).is_model_chosen
    assert not decisions.in_force(hash_of("b3", 0)).is_model_chosen


def test_a_look_at_the_tables_is_in_the_background_and_a_failure_is_shown_until_it_is_over(
    client, workspace, monkeypatch
):
    live = client.opened.live

    def look():
        live._next_look = 0.0
        answer = client.get("/api/changes?queue=review").json()
        live._thread.join()
        return answer, client.get("/api/changes?queue=review").json()["faults"]  # too early to look again

    add(workspace, NEW)
    with monkeypatch.context() as patch:
        patch.setattr(type(live._loader), "load", lambda *_: 1 / 0)
        assert look()[1] == ["New data cannot be loaded: division by zero"]
        assert live.state.number == 0
    answer, faults = look()
    assert (answer["faults"], faults) == (["New data cannot be loaded: division by zero"], [])
    assert live.state.number == 1
    thread = live._thread
    client.get("/")
    assert live._thread is thread


def test_decisions_that_cannot_be_stored_are_announced(client, monkeypatch):
    import pipelines.review.journal as journal

    folder = client.opened.live.writer.path.parents[2]
    monkeypatch.setattr(journal.os, "access", lambda path, mode: (path, mode) != (folder, journal.os.W_OK))
    address = "/api/changes?queue=review"
    assert client.get(address).json()["faults"] == [f"Decisions cannot be stored: {folder} is read-only."]
    monkeypatch.undo()
    assert client.get(address).json()["faults"] == []
