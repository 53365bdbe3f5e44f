"""A workspace made in code: images, predictions, decisions and a champion, with awkward names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipelines.schemas import IMAGES, PREDICTIONS, Decision, parse_ddl
from pipelines.workspace.labels import append_decisions, effective_images
from pipelines.workspace.tables import Tables

NOON = datetime(2024, 6, 1, 12, tzinfo=timezone.utc)
ROOT = "file:///survey/2024/"


def hash_of(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def image(path: str, minutes: float | None = 0, **values: Any) -> dict[str, Any]:
    """Return a row of the table images; `minutes` after noon, null: no time."""
    station = path.partition("/")[0]
    at = None if minutes is None else NOON + timedelta(minutes=minutes)
    return {
        "path": ROOT + path,
        "content_hash": hash_of(path),
        "size": 1000,
        "station": station,
        "captured_at": at,
        "burst_id": f"{station}-{minutes}",
        "group_id": station,
        "width": 400,
        "height": 300,
        "ingested_at": NOON,
    } | values


def prediction(path: str, vote: str, fox: float, **values: Any) -> dict[str, Any]:
    """Return a row of predictions with the probability of fox; the rest is shared by hare and blank."""
    rest = {"blank": 0.75 * (1 - fox), "hare": 0.25 * (1 - fox)}
    probabilities = {"fox": fox} | rest
    best = max(probabilities, key=lambda name: probabilities[name])
    return {
        "path": ROOT + path,
        "content_hash": hash_of(path),
        "prediction": best,
        "score": probabilities[best],
        "probabilities": probabilities,
        "burst_prediction": vote,
        "burst_score": 0.9,
        "needs_review": vote == "fox",
        "model_name": "irbis",
        "model_version": "1",
        "scored_at": NOON,
    } | values


def add_rows(tables: Tables, name: str, ddl: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = parse_ddl(ddl)
    schema = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    values = [tuple(row.get(column) for column in columns) for row in rows]
    tables.append(name, tables.spark.createDataFrame(values, schema))


def decide(
    tables: Tables, path: str, label: str | None, at: datetime = NOON, reviewer: str = "ann", **values: Any
) -> None:
    action = "correct" if label else "unknown"
    identity = hash_of(f"{path} {label} {at}")
    append_decisions(
        tables,
        [Decision(identity, hash_of(path), ROOT + path, label, action, reviewer=reviewer, reviewed_at=at, **values)],
    )


def make_survey(tables: Tables) -> None:
    """Write six images of two stations: of the source, decided, predicted, without time, unreadable, never fetched."""
    add_rows(
        tables,
        "images",
        IMAGES,
        [
            image("S1/a.jpg", 0, label="fox"),
            image("S1/b, é.jpg", 1),
            image("S1/c.jpg", 2, label="hare"),
            image("S2/=d.jpg", None, station="=S2"),
            image("S2/e.jpg", 1440, failure="truncated", width=None, height=None),
            image("S2/f.jpg", None, failure="unavailable", content_hash=None),
        ],
    )
    add_rows(
        tables,
        "predictions",
        PREDICTIONS,
        [
            prediction("S1/a.jpg", "fox", 0.8),
            prediction("S1/b, é.jpg", "fox", 0.4),
            prediction("S1/c.jpg", "blank", 0.2),
            prediction("S2/=d.jpg", "blank", 0.1),
            prediction("S2/e.jpg", "", 0, failure="truncated")
            | dict.fromkeys(("prediction", "score", "probabilities", "burst_prediction", "burst_score")),
        ],
    )
    decide(tables, "S1/c.jpg", "lynx", comment='on the "left",\nbehind the tree')


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def labels_of(tables: Tables) -> dict[str, str]:
    """Return the labels that people have given, by relative path."""
    rows = effective_images(tables).where("label_source = 'person'").collect()
    return {row["path"].removeprefix(ROOT): row["label"] for row in rows}
