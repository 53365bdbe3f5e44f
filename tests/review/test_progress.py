"""Counts, recall with its bound, and when one may stop."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.review.progress import Audit, _audit_size, measure_audit, wilson_interval

from .conftest import client_of
from .made import CLASSES, Made, make_workspace
from .test_security import decision, post


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [  # Newcombe 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_interval(hits, trials, low, high):
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)


def survey(dismissed):
    sought = tuple(Made(f"r{i}", (0.9,), needs_review=True) for i in range(10))
    return sought + tuple(Made(f"d{i}", (0.1,)) for i in range(dismissed))


def decide_all(client, queue, label_of, count=None):
    items = client.get("/api/queue", params={"queue": queue, "count": 100}).json()["items"][:count]
    return post(client, *[decision(each["burst"], 1, label=label_of(each), queue=queue) for each in items]).json()


def test_the_bound_counts_all_that_nobody_has_looked_at(open_review):
    client = client_of(open_review(survey(90)))
    progress = decide_all(client, "review", lambda item: "fox", count=5)["progress"]
    assert (progress["done"], progress["total"], progress["found"]) == (5, 10, 5)
    # five left at .9 each, no audit yet: all 90 dismissed could be foxes
    assert progress["recall"] == pytest.approx(5 / (5 + 4.5))
    assert progress["recall_low"] == pytest.approx(5 / (5 + 5 + 90))
    assert progress["advice"] == "5 bursts still to review."


def test_the_audit_bounds_what_was_missed(open_review):
    client = client_of(open_review(survey(90)))
    decide_all(client, "review", lambda item: "fox")
    progress = decide_all(client, "audit", lambda item: "blank", count=45)["progress"]
    high = 90 * wilson_interval(0, 45)[1]
    assert progress["recall"] == 1.0
    assert progress["recall_low"] == pytest.approx(10 / (10 + high))
    assert progress["advice"].startswith(
        "All that needs review is done. To be sure of 99%, look at all dismissed bursts"
    )
    done = decide_all(client, "audit", lambda item: "fox" if item["position"] == 0 else "blank")["progress"]
    assert (done["found"], done["recall_low"]) == (11, 1.0)
    assert (
        done["advice"]
        == "You may stop: at least 100.0% of the bursts of interest are found (95 % sure), the aim is 99%."
    )


def test_a_missed_animal_a_doubt_and_a_skip_all_count_as_missed(open_review):
    client = client_of(open_review(survey(50)))
    order = [item["burst"] for item in client.get("/api/queue", params={"queue": "audit", "count": 50}).json()["items"]]
    post(client, decision(order[0], 1, label="fox", queue="audit"))
    post(client, decision(order[1], 1, action="unknown", queue="audit"))
    post(client, decision(order[4], 1, label="blank", queue="audit"))  # 2 and 3 were passed over
    decisions = client.opened.decisions
    audit = measure_audit(decisions, client.opened.queues, decisions.done_bursts())
    assert audit == Audit(50, 5, 4, 50 * wilson_interval(4, 5)[1])


def test_where_all_classes_are_of_interest_the_audit_counts_wrong_predictions(open_review, tmp_path):
    workspace = make_workspace(tmp_path / "workspace", survey(20))
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        policy = ReviewPolicy(0.0, CLASSES, ()).to_json()
        connection.execute("UPDATE model_version_tags SET value = ? WHERE key = 'irbis.review_policy'", (policy,))
        connection.commit()
    client = client_of(open_review())
    label = {0: "fox", 3: "hare"}  # the others are blank, as predicted
    decide_all(client, "audit", lambda item: label.get(item["position"], "blank"), count=10)
    progress = decide_all(client, "review", lambda item: "fox")["progress"]
    assert (progress["recall"], progress["recall_low"]) == (None, None)
    assert progress["advice"] == (
        f"All that needs review is done. 2 of 10 audited bursts wrong: at most {wilson_interval(2, 10)[1]:.1%} "
        "of the other predictions (95 % sure)."
    )


def test_labels_of_the_source_that_are_confirmed_are_not_found(open_review):
    client = client_of(open_review((*survey(5), Made("known", (0.9,), needs_review=True, label="fox"))))
    progress = post(client, decision("known", 1, queue="class")).json()["progress"]
    assert (progress["found"], progress["recall"]) == (0, None)


def test_what_is_found_by_search_among_the_dismissed_is_not_missing_any_more(open_review):
    client = client_of(open_review(survey(90)))
    decide_all(client, "review", lambda item: "fox")
    decide_all(client, "audit", lambda item: "fox" if item["position"] < 3 else "blank", count=30)
    before = post(client, decision("r0", 1)).json()["progress"]
    assert before["recall"] == pytest.approx(13 / (13 + 9 - 3))
    rest = [item["burst"] for item in client.get("/api/queue", params={"queue": "audit", "count": 90}).json()["items"]]
    after = post(client, *[decision(burst, 1, queue="search") for burst in rest[40:42]]).json()["progress"]
    assert (after["found"], after["recall"]) == (15, pytest.approx(15 / (15 + 9 - 5)))


def test_the_size_of_the_audit_grows_with_the_aim():
    audit = Audit(100_000, 0, 0, 100_000)
    sizes = [_audit_size(10_000, audit, target) for target in (0.8, 0.95, 0.99)]
    assert sizes == sorted(sizes) and sizes[0] < 300 < sizes[2]
    for target, size in zip((0.8, 0.95, 0.99), sizes, strict=True):
        assert 10_000 / (10_000 + 100_000 * wilson_interval(0, size)[1]) >= target


def test_without_a_model_there_are_only_counts(open_review):
    client = client_of(open_review(survey(3), has_champion=False))
    progress = client.get("/api/queue", params={"queue": "suggest"}).json()["progress"]
    assert (progress["done"], progress["total"], progress["recall"], progress["advice"]) == (0, 13, None, "")


def test_the_rate_leaves_out_breaks(open_review):
    from datetime import timedelta

    from .made import NOON

    decisions = open_review(survey(3)).decisions
    assert decisions.rate() is None
    for seconds in (0, 2, 4, 3604, 3606):
        decisions._times.append((NOON + timedelta(seconds=seconds), "b"))
    assert decisions.rate() == pytest.approx(60 * 4 / (2 + 2 + 60 + 2))


def test_the_time_left_is_that_of_the_bursts_that_are_neither_decided_nor_skipped(open_review, monkeypatch):
    client = client_of(open_review(survey(0)))
    monkeypatch.setattr(type(client.opened.decisions), "rate", lambda self: 14.0)
    post(client, decision("r0", 1), decision("r1", 1, action="unknown"), decision("r2", 1, action="skip"))
    progress = client.get("/api/queue?queue=review").json()["progress"]
    assert (progress["done"], progress["total"], progress["minutes_left"]) == (2, 10, 0.5)
