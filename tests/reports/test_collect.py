"""Thumbnails: the image bytes are found in the row that stores them."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta, timezone

from PIL import Image
from pyspark.sql import functions as F

from pipelines.reports import collect
from pipelines.reports.collect import load_gallery
from pipelines.schemas import IMAGES, parse_ddl

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def jpeg(shade):
    target = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 0, 0)).save(target, "JPEG")
    return target.getvalue()


def test_an_image_with_a_newer_row_and_one_that_moved_are_shown_and_an_earlier_version_is_not(
    spark, tables, make_settings
):
    held = [("a.jpg", "A", jpeg(10), None, None, 0), ("b.jpg", "B", jpeg(200), None, None, 0)]
    later = [("a.jpg", "A", None, "a.jpg", NOON, 1), ("moved.jpg", "B", None, "b.jpg", NOON, 1)]
    later += [("c.jpg", "C1", jpeg(30), None, None, 0), ("c.jpg", "C2", b"<html>", None, None, 1)]
    names = ("path", "content_hash", "content", "content_path", "content_at", "ingested_at")
    kinds = parse_ddl(IMAGES)
    given = [(*row[:-1], NOON + timedelta(minutes=row[-1])) for row in held + later]
    frame = spark.createDataFrame(given, ", ".join(f"{name} {kinds[name]}" for name in names))
    rest = [F.lit(None).cast(kind).alias(name) for name, kind in kinds.items() if name not in names]
    tables.append("images", frame.select("*", *rest))
    paths = [("a.jpg", "A"), ("moved.jpg", "B"), ("c.jpg", "C2"), ("never.jpg", None)]
    rows = spark.createDataFrame(paths, "path string, content_hash string").collect()
    shown = {each.path: each.thumbnail for each in load_gallery(tables, make_settings(), {"": rows})[""]}
    assert shown["a.jpg"].startswith("data:image/jpeg") and shown["moved.jpg"].startswith("data:image/jpeg")
    assert shown["a.jpg"] != shown["moved.jpg"]
    assert shown["c.jpg"] is None and shown["never.jpg"] is None


def die(content: bytes, **_: int) -> bytes:
    os._exit(1)


def test_an_image_that_crashes_its_decoder_has_no_thumbnail_and_one_that_has_failed_is_not_decoded(
    spark, tables, make_settings, monkeypatch
):
    names = ("path", "content_hash", "content", "ingested_at")
    kinds = parse_ddl(IMAGES)
    given = [("a.jpg", "A", jpeg(10), NOON), ("b.jpg", "B", jpeg(20), NOON)]
    frame = spark.createDataFrame(given, ", ".join(f"{name} {kinds[name]}" for name in names))
    rest = [F.lit(None).cast(kind).alias(name) for name, kind in kinds.items() if name not in names]
    tables.append("images", frame.select("*", *rest))
    schema = "path string, content_hash string, failure string"
    failed = spark.createDataFrame([("a.jpg", "A", None), ("b.jpg", "B", "too_slow")], schema).collect()
    shown = {each.path: each.thumbnail for each in load_gallery(tables, make_settings(), {"": failed})[""]}
    assert shown["a.jpg"] and shown["b.jpg"] is None
    monkeypatch.setattr(collect, "make_thumbnail", die)
    shown = {each.path: each.thumbnail for each in load_gallery(tables, make_settings(), {"": failed})[""]}
    assert shown == {"a.jpg": None, "b.jpg": None}
