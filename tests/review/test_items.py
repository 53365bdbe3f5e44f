"""What the page is told about a burst."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")

from pipelines.review.items import MAX_FRAMES, describe_burst

from .conftest import client_of
from .made import Made, hash_of
from .test_security import decision, post


def describe(opened, burst):
    return describe_burst(opened.decisions, opened.decisions.snapshot.find_burst(burst))


def test_of_a_large_burst_the_first_frames_are_shown_and_the_one_that_decided(open_review):
    fox = tuple(0.9 if frame == 280 else 0.6 for frame in range(300))
    opened = open_review((Made("big", fox, needs_review=True, failure="truncated"), Made("small", (0.7,) * 200)))
    item = describe(opened, "big")
    shown = [frame["hash"] for frame in item["frames"]]
    assert shown == [hash_of("big", frame) for frame in (*range(MAX_FRAMES - 1), 280)]
    assert (item["best"], item["frame_count"], item["frames"][0]["failure"]) == (MAX_FRAMES - 1, 300, "truncated")
    rest = [hash_of("big", frame) for frame in range(MAX_FRAMES - 1, 300) if frame != 280]
    assert item["more"] == rest  # a label of the burst is theirs too
    whole = describe(opened, "small")
    assert (len(whole["frames"]), whole["more"]) == (200, [])
    answer = post(client_of(opened), decision("big", range(1, 300)))
    assert (answer.status_code, answer.json()["items"][0]["state"]) == (200, "done")
    assert opened.decisions.count == 299
