"""Merging the journals while the page runs: how often, one at a time, and what an error leaves behind."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines.errors import PlatformError
from pipelines.review.journal import JournalWriter
from pipelines.review.merge import Merger
from pipelines.schemas import Decision
from pipelines.workspace.journal_files import journal_folder
from pipelines.workspace.tables import Tables

from .made import NOON


def finish(merger):
    if merger._thread is not None:
        merger._thread.join()


def test_a_merge_begins_with_each_whole_batch_of_decisions(make_settings):
    starts, seen = [], []

    def start():
        starts.append(1)
        raise PlatformError("no Java")

    merger = Merger(make_settings(), start, batch=5)
    for count in (1, 4, 5, 6, 9, 10, 14):
        merger.merge_if_due(count)
        finish(merger)
        seen.append(len(starts))
    assert seen == [0, 0, 1, 1, 1, 2, 2]
    assert merger.fault == "PlatformError: no Java"


def test_merges_do_not_overlap(make_settings):
    gate, running, most = threading.Event(), [], []

    def start():
        running.append(1)
        most.append(len(running))
        gate.wait(30)
        running.pop()
        raise PlatformError("no Java")

    merger = Merger(make_settings(), start, batch=1)
    merger.merge_if_due(1)
    while not most:
        time.sleep(0.01)
    merger.merge_if_due(2)
    threading.Timer(0.3, gate.set).start()
    with pytest.raises(PlatformError):
        merger.merge()
    assert most == [1, 1]


def test_a_merge_that_failed_is_repeated_and_its_fault_ends(spark, make_settings):
    settings = make_settings()
    tables = Tables.of(spark, settings)
    writer = JournalWriter(journal_folder(tables.workspace), "s")
    writer.append([Decision("d", "h", "p", "fox", "correct", reviewed_at=NOON)])
    writer.close()
    results = iter([PlatformError("no Java"), spark])

    def start():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    merger = Merger(settings, start, batch=1)
    for count, fault in ((1, "PlatformError: no Java"), (2, "")):
        merger.merge_if_due(count)
        finish(merger)
        assert merger.fault == fault
    assert [row["decision_id"] for row in tables.read("labels").collect()] == ["d"]
