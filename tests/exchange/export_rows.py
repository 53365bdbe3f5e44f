"""Rows for exports, as `pipelines.exchange.rows` makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines.config.settings import Settings
from pipelines.exchange.formats.base import EXPORT_ROWS, Export
from pipelines.schemas import parse_ddl

COLUMNS = parse_ddl(EXPORT_ROWS)
NOW = datetime(2026, 11, 30, 12, 0, 5, tzinfo=timezone.utc)


def export_row(path: str, **values: Any) -> dict[str, Any]:
    """Return a row of an image with this relative path; times are texts of the camera's clock or of UTC."""
    row = dict.fromkeys(COLUMNS) | {
        "path": f"file:///survey/{path}",
        "relative_path": path,
        "content_hash": hashlib.sha256(path.encode()).hexdigest(),
        "station": "S1",
        "captured_at": "2024-05-01 11:00:00",
        "is_unknown": False,
        "needs_review": False,
    }
    assert set(values) <= set(row)
    row |= values
    for name in ("captured_at", "reviewed_at", "scored_at"):
        if row[name]:
            row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=timezone.utc)
    return row


def by_person(label: str | None, reviewer: str = "ana", **values: Any) -> dict[str, Any]:
    decision = {"label_source": "person", "reviewer": reviewer, "reviewed_at": "2024-06-01 10:00:00"}
    return {"label": label, "is_unknown": label is None, **decision, **values}


def by_source(label: str) -> dict[str, Any]:
    return {"label": label, "label_source": "source"}


def by_model(label: str, score: float = 0.9, **values: Any) -> dict[str, Any]:
    model = {"model_name": "irbis", "model_version": "7", "scored_at": "2024-06-02 10:00:00"}
    return {"prediction": label, "score": score, "image_prediction": label, "image_score": score, **model, **values}


def make_export(spark: SparkSession, folder: Path, settings: Settings, rows: list[Mapping[str, Any]]) -> Export:
    folder.mkdir(exist_ok=True)
    values = [tuple(row[name] for name in COLUMNS) for row in rows]
    ddl = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    return Export(spark.createDataFrame(values, ddl), folder, settings, NOW, "Survey")
