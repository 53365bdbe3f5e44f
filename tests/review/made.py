"""A workspace made in code, without Spark: Delta tables by the package deltalake, and a champion in SQLite."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image

from pipelines.evaluation.review_policy import UNITS, OperatingPoint, ReviewPolicy

CLASSES = ("blank", "fox", "hare")
NOON = datetime(2024, 6, 1, 12, tzinfo=timezone.utc)
TYPES = {"timestamp": pa.timestamp("us", tz="UTC"), "double": pa.float64(), "boolean": pa.bool_(), "int": pa.int32()}
TYPES |= {"string": pa.string(), "binary": pa.binary(), "long": pa.int64()}
PROBABILITIES = pa.map_(pa.string(), pa.float64())


class Made(NamedTuple):
    """A burst: probability of fox (the rest is blank) on each frame; None: not scored."""

    id: str
    fox: tuple[float | None, ...]
    needs_review: bool = False
    group: str | None = None
    station: str = "S1"
    label: str | None = None
    failure: str | None = None  # of its first frame


def jpeg(seed: str, size: tuple[int, int] = (48, 36), exif: Image.Exif | None = None) -> bytes:
    """Return a JPEG of a colour of its own."""
    target = io.BytesIO()
    color = tuple(sha256(seed.encode()).digest()[:3])
    Image.new("RGB", size, color).save(target, "JPEG", **({"exif": exif} if exif else {}))
    return target.getvalue()


def path_of(burst: str, frame: int) -> str:
    return f"file:///survey/{burst}/{frame}.jpg"


def hash_of(burst: str, frame: int) -> str:
    return sha256(jpeg(f"{burst}/{frame}")).hexdigest()


def image_rows(bursts: Sequence[Made], ingested: datetime = NOON) -> list[dict[str, Any]]:
    """Return rows of the table images, a second between frames and an hour between bursts."""
    rows = []
    for number, burst in enumerate(bursts):
        for frame in range(len(burst.fox)):
            content = jpeg(f"{burst.id}/{frame}")
            rows.append(
                {
                    "path": path_of(burst.id, frame),
                    "content_hash": sha256(content).hexdigest(),
                    "content": content,
                    "label": burst.label,
                    "station": burst.station,
                    "captured_at": NOON + timedelta(hours=number, seconds=frame),
                    "burst_id": burst.id,
                    "group_id": burst.group or burst.id,
                    "failure": burst.failure if not frame else None,
                    "ingested_at": ingested,
                }
            )
    return rows


def prediction_rows(bursts: Sequence[Made], version: str = "1", scored: datetime = NOON) -> list[dict[str, Any]]:
    """Return rows of predictions; the burst votes by the mean of fox."""
    rows = []
    for burst in bursts:
        known = [value for value in burst.fox if value is not None]
        vote = sum(known) / len(known) if known else 0.0
        for frame, fox in enumerate(burst.fox):
            if fox is None:
                continue
            rows.append(
                {
                    "path": path_of(burst.id, frame),
                    "content_hash": hash_of(burst.id, frame),
                    "prediction": "fox" if fox > 0.5 else "blank",
                    "score": max(fox, 1 - fox),
                    "probabilities": [("blank", 1 - fox), ("fox", fox), ("hare", 0.0)],
                    "burst_id": burst.id,
                    "burst_prediction": "fox" if vote > 0.5 else "blank",
                    "burst_score": max(vote, 1 - vote),
                    "needs_review": burst.needs_review,
                    "model_name": "irbis",
                    "model_version": version,
                    "scored_at": scored,
                }
            )
    return rows


def write_table(workspace: Path, name: str, ddl: str, rows: Sequence[dict[str, Any]]) -> None:
    """Append rows to a Delta table."""
    from deltalake import write_deltalake

    from pipelines.schemas import parse_ddl

    kinds = {column: TYPES.get(kind, PROBABILITIES) for column, kind in parse_ddl(ddl).items()}
    columns = {column: pa.array([row.get(column) for row in rows], kind) for column, kind in kinds.items()}
    write_deltalake(str(workspace / "tables" / name), pa.table(columns), mode="append")


def write_champion(workspace: Path, threshold: float | None = 0.6, version: int = 1) -> None:
    """Write a database like MLflow's with one version; fox is of interest, and its threshold reliable."""
    points = [OperatingPoint("fox", unit, 0.99, threshold, 500, 200) for unit in UNITS if threshold is not None]
    policy = ReviewPolicy(0.0, ("fox",), tuple(points))
    tags = {"irbis.classes": json.dumps(CLASSES), "irbis.review_policy": policy.to_json()}
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE IF NOT EXISTS runs (run_uuid, artifact_uri);
            CREATE TABLE IF NOT EXISTS model_versions (name, version, run_id, creation_time);
            CREATE TABLE IF NOT EXISTS registered_model_aliases (name, alias, version);
            CREATE TABLE IF NOT EXISTS model_version_tags (name, version, key, value);
            """
        )
        connection.execute("INSERT INTO runs VALUES ('run', ?)", (f"file://{workspace}/artifacts/run",))
        connection.execute("INSERT INTO model_versions VALUES ('irbis', ?, 'run', 1700000000000)", (version,))
        connection.execute("DELETE FROM registered_model_aliases")
        connection.execute("INSERT INTO registered_model_aliases VALUES ('irbis', 'champion', ?)", (version,))
        rows = [("irbis", version, key, value) for key, value in tags.items()]
        connection.executemany("INSERT INTO model_version_tags VALUES (?, ?, ?, ?)", rows)
        connection.commit()


def make_workspace(workspace: Path, bursts: Sequence[Made], *, has_champion: bool = True) -> Path:
    """Write the tables and, unless nothing is scored, the champion."""
    from pipelines import schemas

    workspace.mkdir(parents=True, exist_ok=True)
    write_table(workspace, "images", schemas.IMAGES, image_rows(bursts))
    if has_champion:
        write_table(workspace, "predictions", schemas.PREDICTIONS, prediction_rows(bursts))
        write_champion(workspace)
    return workspace
