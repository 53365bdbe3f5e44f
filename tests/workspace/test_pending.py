"""The pending work of featurize and score."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipelines.schemas import FEATURES, IMAGES, parse_ddl
from pipelines.workspace.pending import images_to_featurize
from pipelines.workspace.tables import Tables

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def append(tables: Tables, name: str, schema: str, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Add rows whose other columns are null; the last value counts minutes after noon."""
    given = [(*row[:-1], NOON + timedelta(minutes=row[-1])) for row in rows]
    kinds = parse_ddl(schema)
    frame = tables.spark.createDataFrame(given, ", ".join(f"{each} {kinds[each]}" for each in names))
    rest = [F.lit(None).cast(kind).alias(each) for each, kind in kinds.items() if each not in names]
    tables.append(name, frame.select(*names, *rest))


@pytest.mark.parametrize("is_first", [True, False])
def test_contents_of_current_images_that_lack_features_are_found_once(spark, tables, is_first):
    named = ("path", "content_hash", "failure", "ingested_at")
    images = [
        ("changed.jpg", "old", None, 0),  # never featurized, and gone since
        ("changed.jpg", "done", None, 1),
        ("back.jpg", "done", None, 0),
        ("back.jpg", "new", None, 1),
        ("copy.jpg", "new", None, 0),
        ("unread.jpg", None, "vanished", 0),
        ("mended.jpg", "mended", None, 9),
        ("bad.jpg", "bad", "truncated", 9),
    ]
    append(tables, "images", IMAGES, named, images)
    lacking = {("new", "back.jpg", False)}
    if is_first:
        lacking |= {(name, f"{path}.jpg", False) for name, path in (("done", "changed"), ("mended", "mended"))}
        lacking |= {("bad", "bad.jpg", False)}
    else:
        done = [("done", "net", None, 5), ("mended", "net", "too_large", 5), ("bad", "net", "truncated", 5)]
        other = [("new", "another", None, 5)]
        append(tables, "features", FEATURES, ("content_hash", "backbone", "failure", "featurized_at"), [*done, *other])
        lacking |= {("mended", "mended.jpg", True)}
    found = images_to_featurize(tables, "net").select("content_hash", "path", "is_replaced").collect()
    assert sorted(map(tuple, found)) == sorted(lacking)


def test_of_backbones_side_by_side_each_content_says_once_which_parts_it_lacks(spark, tables):
    named = ("path", "content_hash", "failure", "ingested_at")
    hashes = ("both", "first", "second", "none", "mended")
    append(tables, "images", IMAGES, named, [(f"{each}.jpg", each, None, 5) for each in hashes])
    done = [("both", "a", None, 0), ("both", "b", None, 0), ("first", "a", None, 0), ("second", "b", None, 0)]
    # Since the second part was computed, ingest has read the image that the first one failed on.
    done += [("mended", "a", "too_large", 1), ("mended", "b", None, 9)]
    append(tables, "features", FEATURES, ("content_hash", "backbone", "failure", "featurized_at"), done)
    columns = ("content_hash", "lacking", "is_replaced")
    found = {row[0]: tuple(row[1:]) for row in images_to_featurize(tables, "a+b").select(*columns).collect()}
    assert found == {
        "first": (["b"], False),
        "second": (["a"], False),
        "none": (["a", "b"], False),
        "mended": (["a"], True),
    }
    assert images_to_featurize(tables, "b").count() == 2


def test_a_content_that_failed_is_there_again_if_any_of_its_images_was_read_since(spark, tables):
    named = ("path", "content_hash", "failure", "ingested_at")
    append(tables, "images", IMAGES, named, [("a.jpg", "same", "too_large", 0), ("b.jpg", "same", None, 9)])
    done = [("same", "net", "too_large", 5)]
    append(tables, "features", FEATURES, ("content_hash", "backbone", "failure", "featurized_at"), done)
    found = images_to_featurize(tables, "net").select("content_hash", "path", "is_replaced").collect()
    assert list(map(tuple, found)) == [("same", "b.jpg", True)]
