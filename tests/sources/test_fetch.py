"""Listed files in, rows out: one row per file, whatever fails."""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import ImageError
from pipelines.schemas import Failure
from pipelines.sources import fetch as fetch_module
from pipelines.sources.fetch import FETCH_DDL, FETCH_SCHEMA, fetch_one, make_fetch_fn
from pipelines.sources.stores.folder import Folder

BROKEN = b"GIF89a"  # no more than the signature of an image
SHA_OF_CAT = "77af778b51abd4a3c51c5ddd97204a9c3ae614ebccb75a606c3b6865aed6744e"


class Shelf:
    """A source in memory that records the requested paths."""

    root = "shelf://"

    def __init__(self, **images: bytes):
        self.images = images
        self.asked: list[tuple[str, str]] = []

    def list(self):
        return iter(())

    def fetch(self, path: str, etag: str) -> bytes:
        self.asked.append((path, etag))
        if path not in self.images:
            raise ImageError(Failure.VANISHED, "the file was deleted after it was listed")
        return self.images[path]


def describe(content: bytes) -> dict[str, Any]:
    if content == BROKEN:
        raise ImageError(Failure.UNREADABLE, "bad marker 0xff")
    return {"width": len(content), "height": 1, "exif_camera": "S", "exif_time": datetime(2014, 7, 1, 15, 22, 9)}


def batch(*rows: tuple[str, int]) -> pa.RecordBatch:
    names = [{"path": path, "etag": "e", "size": size} for path, size in rows]
    return pa.RecordBatch.from_pylist(names)


def test_an_image_becomes_a_row_with_its_hash_bytes_and_header():
    assert fetch_one(Shelf(cat=b"cat"), describe, 10, path="cat", etag="e", size=3) == {
        "path": "cat",
        "content_hash": SHA_OF_CAT,
        "content": b"cat",
        "exif_time": datetime(2014, 7, 1, 15, 22, 9),
        "exif_camera": "S",
        "width": 3,
        "height": 1,
        "failure": None,
        "failure_detail": None,
        "odd_time": None,
    }


@pytest.mark.parametrize(
    ("content", "is_kept"), [(b"-----BEGIN KEY", False), (b"", False), (b"\xff\xd8\xff cut", True)]
)
def test_of_a_file_that_does_not_begin_as_an_image_no_bytes_are_kept(content, is_kept):
    def fail(content: bytes) -> dict[str, Any]:
        raise ImageError(Failure.UNREADABLE, "bad")

    row = fetch_one(Shelf(a=content), fail, 99, path="a", etag="e", size=len(content))
    assert row["content"] == (content if is_kept else None)
    assert (row["failure"], row["failure_detail"]) == ("unreadable", "bad")
    assert row["content_hash"] == hashlib.sha256(content).hexdigest()


def test_a_header_that_nobody_foresaw_is_a_failure_of_its_own_image():
    def fail(content: bytes) -> dict[str, Any]:
        raise KeyError("of a kind that no decoder raises")

    row = fetch_one(Shelf(a=b"cat"), fail, 10, path="a", etag="e", size=3)
    assert (row["failure"], row["content_hash"], row["content"]) == ("unreadable", SHA_OF_CAT, None)
    assert row["failure_detail"] == ("the header could not be read (KeyError: 'of a kind that no decoder raises')")


def test_a_file_over_the_limit_is_not_read():
    shelf = Shelf(big=b"x" * 11, fits=b"x" * 10)
    row = fetch_one(shelf, describe, 10, path="big", etag="e", size=11)
    assert (row["failure"], row["failure_detail"]) == ("too_large", "11 bytes; the limit is 10")
    assert (row["content_hash"], row["content"]) == (None, None)
    assert shelf.asked == []
    assert fetch_one(shelf, describe, 10, path="fits", etag="e", size=10)["failure"] is None


def test_an_image_that_cannot_be_used_keeps_its_bytes_and_one_that_is_gone_has_none():
    broken = fetch_one(Shelf(a=BROKEN), describe, 10, path="a", etag="e", size=6)
    assert (broken["failure"], broken["failure_detail"]) == ("unreadable", "bad marker 0xff")
    assert (broken["content"], broken["content_hash"]) == (BROKEN, hashlib.sha256(BROKEN).hexdigest())
    gone = fetch_one(Shelf(), describe, 10, path="a", etag="e", size=6)
    assert (gone["failure"], gone["content"], gone["content_hash"]) == ("vanished", None, None)


def test_batches_are_cut_by_bytes_and_no_row_is_lost(monkeypatch):
    monkeypatch.setattr(fetch_module, "BATCH_BYTES", 6)
    shelf = Shelf(a=b"aaa", b=b"bbb", c=BROKEN, e=b"eeeeee", f=b"")
    counts: list[int] = []
    fetch = make_fetch_fn(shelf, describe, max_bytes=10, count_rows=counts.append)
    found = list(fetch(iter([batch(("a", 3), ("b", 3), ("c", 6)), batch(("d", 1)), batch(("e", 6), ("f", 0))])))
    assert [each.column(0).to_pylist() for each in found] == [["a", "b"], ["c"], ["d", "e"], ["f"]]
    assert [each.column(7).to_pylist() for each in found] == [[None, None], ["unreadable"], ["vanished", None], [None]]
    assert counts == [2, 1, 2, 1]
    assert all(each.schema == FETCH_SCHEMA for each in found)


def test_an_image_that_stalls_holds_up_none_behind_it():
    class Stalling(Shelf):
        last_was_asked_for = threading.Event()

        def fetch(self, path: str, etag: str) -> bytes:
            if path == "9":
                self.last_was_asked_for.set()
            return b"in time" if path != "0" or self.last_was_asked_for.wait(5) else b"held up"

    fetch = make_fetch_fn(Stalling(), describe, max_bytes=10, threads=2)
    found = pa.Table.from_batches(fetch(iter([batch(*[(str(n), 1) for n in range(10)])]))).to_pylist()
    assert {row["path"]: row["content"] for row in found} == {str(n): b"in time" for n in range(10)}
    assert len(found) == 10


def test_nothing_in_gives_nothing_out():
    assert list(make_fetch_fn(Shelf(), describe, max_bytes=10)(iter([]))) == []


def test_executors_fetch_real_files_those_that_went_or_changed_are_rows_too(spark, tmp_path):
    for name in ("1 a.jpg", "2.jpg", "3.jpg", "4.jpg"):
        (tmp_path / name).write_bytes(b"cat")
    (tmp_path / "4.jpg").write_bytes(b"x" * 100)
    source = Folder(str(tmp_path))
    names = [(blob.path, blob.size, blob.etag) for blob in source.list()]
    (tmp_path / "2.jpg").unlink()
    (tmp_path / "3.jpg").write_bytes(b"another")

    def header(content: bytes) -> dict[str, Any]:  # a function in a function travels by value
        return {"width": 7, "exif_time": datetime(2014, 7, 1, 15, 22, 9, tzinfo=timezone.utc)}

    done = spark.sparkContext.accumulator(0)
    frame = spark.createDataFrame(names, "path string, size long, etag string").select("path", "etag", "size")
    rows = frame.mapInArrow(make_fetch_fn(source, header, max_bytes=10, count_rows=done.add), FETCH_DDL)
    found = rows.selectExpr("content_hash", "failure", "width", "unix_timestamp(exif_time)", "path")
    assert [tuple(row)[:4] for row in sorted(found.collect(), key=lambda row: row["path"])] == [
        (SHA_OF_CAT, None, 7, 1404228129),
        (None, "vanished", None, None),
        (None, "changed", None, None),
        (None, "too_large", None, None),
    ]
    assert done.value == 4
