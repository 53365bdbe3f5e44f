"""Rows of the tables made by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from pipelines.schemas import IMAGES, PREDICTIONS, parse_ddl

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def images(spark: Any, *rows: tuple[str, str | None, bytes | None, int]) -> Any:
    """Return rows of images for path, label, content, minutes after noon; the other columns are null."""
    names = ("path", "label", "content", "ingested_at")
    given = [(path, label, content, NOON + timedelta(minutes=minutes)) for path, label, content, minutes in rows]
    return _whole(spark, IMAGES, names, given)


def predictions(spark: Any, *rows: tuple[str, str | None, str, float]) -> Any:
    """Return rows of predictions for path, content hash, model version, score; the other columns are null."""
    return _whole(spark, PREDICTIONS, ("path", "content_hash", "model_version", "score"), list(rows))


def _whole(spark: Any, schema: str, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Any:
    whole = [[dict(zip(names, row, strict=True)).get(column) for column in parse_ddl(schema)] for row in rows]
    return spark.createDataFrame(whole, ", ".join(f"{name} {kind}" for name, kind in parse_ddl(schema).items()))
