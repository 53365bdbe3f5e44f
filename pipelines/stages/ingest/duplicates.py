"""What ingest says about images with identical bytes: contradicting labels, and images that count twice."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.split import conflicting_labels
from pipelines.formatting import pluralize
from pipelines.workspace.tables import ROW_KEY, Tables, ingested_since


def duplicate_notes(tables: Tables, since: datetime | None) -> list[str]:
    """Return sentences on identical bytes under several paths, if rows written since then are among them.

    Null: all rows are new.
    """
    current = _rows_with_same_bytes(tables, since) if since else tables.latest_images()
    conflicts = conflicting_labels(current)
    count, paths = conflicts.agg(F.count("*"), F.min("paths")).first()
    notes = []
    if count:
        notes.append(
            f"images that stand under more than one label are left out of training: {count:,}, "
            f"first {' = '.join(paths[:2])}."
        )
    found = F.array_sort(F.collect_list("path")).alias("paths")
    readable = current.where("failure is null").join(conflicts.select("content_hash"), "content_hash", "left_anti")
    copies = readable.groupBy("content_hash").agg(found).where(F.size("paths") > 1)
    images, paths = copies.agg(F.sum(F.size("paths") - 1), F.min("paths")).first()
    if images:
        notes.append(
            f"{pluralize(images, 'image')} with the bytes of another, first {' = '.join(paths[:2])}: each is scored and "
            "counted, and training takes one of them. If a folder is there twice, or under two names, remove one."
        )
    return notes


def _rows_with_same_bytes(tables: Tables, since: datetime) -> DataFrame:
    """Return the current rows that have the bytes of one written since then."""
    images = tables.read("images")
    written = tables.broadcast_keys(images.where(ingested_since(since)).select("content_hash").distinct())
    same = tables.materialize(images.join(written, "content_hash", "left_semi").select(*ROW_KEY))
    return tables.latest_images(same).join(written, "content_hash", "left_semi")
