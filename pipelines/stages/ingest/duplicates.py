"""Notes of ingest on images with identical bytes: contradicting labels, and images that count twice."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.split import conflicting_labels
from pipelines.formatting import pluralize
from pipelines.workspace.labels import labelled_by_people
from pipelines.workspace.tables import ROW_KEY, Tables, ingested_since


def duplicate_notes(tables: Tables, since: datetime | None) -> list[str]:
    """Return notes on identical bytes under several paths, if rows written since `since` are among them.

    `since` None: all rows are new.
    """
    current = _rows_with_same_bytes(tables, since) if since else tables.latest_images()
    conflicts = conflicting_labels(labelled_by_people(tables, current))
    count, paths = conflicts.agg(F.count("*"), F.min("paths")).first()
    notes = []
    if count:
        notes.append(
            f"{pluralize(count, 'image')} with more than one label left out of training, first {' = '.join(paths[:2])}."
        )
    all_paths = F.array_sort(F.collect_list("path")).alias("paths")
    readable = current.where("failure is null").join(conflicts.select("content_hash"), "content_hash", "left_anti")
    copies = readable.groupBy("content_hash").agg(all_paths).where(F.size("paths") > 1)
    images, paths = copies.agg(F.sum(F.size("paths") - 1), F.min("paths")).first()
    if images:
        notes.append(
            f"{pluralize(images, 'image')} with the same bytes as another, first {' = '.join(paths[:2])}: each is "
            "scored and counted, and training uses one of them. If a folder exists twice, remove one."
        )
    return notes


def _rows_with_same_bytes(tables: Tables, since: datetime) -> DataFrame:
    """Return the current rows with the same bytes as a row written since `since`."""
    images = tables.read("images")
    written = tables.broadcast_keys(images.where(ingested_since(since)).select("content_hash").distinct())
    same = tables.materialize(images.join(written, "content_hash", "left_semi").select(*ROW_KEY))
    return tables.latest_images(same).join(written, "content_hash", "left_semi")
