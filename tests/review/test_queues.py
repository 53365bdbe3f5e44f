"""Queues: what is in them, in which order."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("deltalake")

from pipelines.review.queues import Filters

from .conftest import SURVEY
from .made import Made, hash_of


def ids(opened, name, **filters):
    bursts = opened.queues.get(name, Filters(**filters)).bursts
    return [opened.decisions.snapshot.bursts.ids[int(i)].as_py() for i in bursts]


def test_review_shows_the_nearest_to_the_threshold_first_and_one_burst_of_each_group_before_its_siblings(open_review):
    # threshold .6 on the mean of fox; b5 is labelled already; b2 is of the group of b0
    assert ids(open_review(), "review") == ["b0", "b1", "b6", "b2"]


def test_audit_is_a_random_order_of_the_dismissed_that_stays(open_review):
    bursts = tuple(Made(f"d{i}", (0.1,)) for i in range(50)) + SURVEY
    order = ids(open_review(bursts), "audit")
    assert set(order) == {f"d{i}" for i in range(50)} | {"b3", "b4"}
    assert order == ids(open_review(bursts), "audit")  # another start
    assert order[:5] != sorted(order)[:5]
    assert order[:3] == ["d45", "d35", "d20"]  # on every machine


def test_where_everything_is_labelled_the_queues_show_all_predictions(open_review):
    opened = open_review(tuple(each._replace(label="fox") for each in SURVEY))
    assert ids(opened, "review") == ["b0", "b1", "b6", "b5", "b2"]
    assert len(ids(opened, "audit")) == 2


def test_without_a_model_unlabelled_bursts_are_spread_over_stations(open_review):
    bursts = tuple(Made(f"x{i}", (None,), station=f"S{i % 3}", label="fox" if i > 8 else None) for i in range(12))
    opened = open_review(bursts, has_champion=False)
    assert opened.queues.default == "suggest"
    order = ids(opened, "suggest")
    assert sorted(order) == [f"x{i}" for i in range(9)]
    assert [{int(each[1:]) % 3 for each in order[i : i + 3]} for i in (0, 3, 6)] == [{0, 1, 2}] * 3
    assert ids(opened, "review") == []
    note = opened.queues.get("review", Filters()).note
    assert note == "There are no predictions yet: run `irbis train`, then `irbis score`."


def test_suggestions_keep_their_order_reasons_and_whether_a_model_chose_them(open_review):
    opened = open_review()
    items = [
        {"content_hash": hash_of("b4", 0), "burst_id": "b4", "reason": "margin", "is_model_chosen": True},
        {"content_hash": "0" * 64, "burst_id": "gone", "reason": "margin", "is_model_chosen": True},
        {"content_hash": hash_of("b1", 2), "burst_id": "b1", "reason": "random", "is_model_chosen": False},
        {"content_hash": hash_of("b1", 0), "burst_id": "b1", "reason": "margin", "is_model_chosen": True},
    ]
    folder = opened.queues._folder
    folder.mkdir(exist_ok=True)
    (folder / "suggestions.json").write_text(json.dumps({"created_at": "2024-06-01T00:00:00Z", "items": items}))
    queue = opened.queues.get("suggest", Filters())
    snapshot = opened.decisions.snapshot
    assert ids(opened, "suggest") == ["b4", "b1"]
    b4, b1 = snapshot.find_burst("b4"), snapshot.find_burst("b1")
    assert (queue.reasons[b4], queue.reasons[b1]) == ("margin", "random")
    assert (queue.chosen_by_model(b4), queue.chosen_by_model(b1)) == (True, False)


def test_suspects_say_which_label_it_may_be_instead(open_review):
    opened = open_review()
    item = {"content_hash": hash_of("b5", 0), "label": "fox", "suggested": "hare", "reason": "self_confidence"}
    opened.queues._folder.mkdir(exist_ok=True)
    (opened.queues._folder / "suspects.json").write_text(json.dumps({"items": [item]}))
    queue = opened.queues.get("suspects", Filters())
    assert list(queue.reasons.values()) == ["labelled fox, perhaps hare"]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (None, "Run `irbis train` first: it writes suspects.json."),
        ("{", "suspects.json cannot be read (Expecting property name"),
        ('{"items": 3}', "suspects.json cannot be read ("),
        ('{"items": [{"burst_id": "b1"}]}', "suspects.json cannot be read ('content_hash')"),
        ('{"items": []}', "`irbis train` has found nothing to show here."),
        ('{"items": [{"content_hash": "x"}]}', "None of the images in suspects.json is in the workspace any more."),
    ],
)
def test_a_missing_or_broken_file_says_which_command_writes_it(open_review, text, note):
    opened = open_review()
    folder = opened.queues._folder
    folder.mkdir(exist_ok=True)
    if text is not None:
        (folder / "suspects.json").write_text(text)
    queue = opened.queues.get("suspects", Filters())
    assert len(queue.bursts) == 0
    assert note in queue.note and "irbis train" in queue.note


def test_class_station_day_and_path(open_review):
    opened = open_review()
    assert ids(opened, "class", label="fox") == ["b0", "b1", "b2", "b5", "b6"]
    assert ids(opened, "class", label="blank") == ["b3", "b4"]
    assert ids(opened, "class", label="otter") == []
    assert ids(opened, "class", station="S2") == ["b3", "b4"]
    assert ids(opened, "class", day="2024-06-01") == ["b0", "b1", "b2", "b5", "b6", "b3", "b4"]
    assert ids(opened, "class", day="2024-06-02") == []
    assert ids(opened, "search", text="B3/") == ["b3"]
    assert ids(opened, "search", text="survey/b0") == ["b0"]
    assert ids(opened, "search", text="%") == []
    assert ids(opened, "search") == []


def test_a_class_is_in_the_order_of_stations_and_within_them_of_time(open_review):
    bursts = [Made(name, (0.9,), station=station) for name, station in (("z", "S2"), ("y", "S1"), ("a", "S2"))]
    order = ids(open_review(tuple(bursts)), "class")
    assert order in (["z", "a", "y"], ["y", "z", "a"])  # not by the id


@pytest.mark.parametrize("day", ["2024-02-30", "20240601", "tomorrow"])
def test_what_is_no_day_is_refused(client, day):
    answer = client.get("/api/queue", params={"day": day})
    assert (answer.status_code, answer.json()) == (422, {"error": "day is a date such as 2024-06-30."})
