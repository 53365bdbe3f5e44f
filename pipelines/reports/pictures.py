"""The few pictures that a page or a notebook shows, with their thumbnails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial

from pyspark.sql import Row
from pyspark.sql import functions as F

from pipelines.errors import ImageError
from pipelines.images.isolated import SubprocessReader
from pipelines.images.thumbnails import data_uri, thumbnail
from pipelines.reports.contents import ImageCard
from pipelines.settings import Settings
from pipelines.storage.tables import Tables


def load_gallery(
    tables: Tables, settings: Settings, galleries: Mapping[str, Sequence[Row]]
) -> dict[str, tuple[ImageCard, ...]]:
    """Give each gallery's rows of `path`, `content_hash` and what else is known of a picture as pictures to look at."""
    thumbnails = _thumbnails(tables, settings, [row for gallery in galleries.values() for row in gallery])
    return {name: tuple(_picture(row, thumbnails) for row in gallery) for name, gallery in galleries.items()}


def _thumbnails(tables: Tables, settings: Settings, rows: Sequence[Row]) -> dict[str, str | None]:
    """Read the bytes of the few pictures shown, one after the other, and make them small. By content_hash.

    Each is decoded in a child process: here nothing would be tried again. Those that have failed are not.
    """
    rows = [row for row in rows if not row.asDict().get("failure")]
    paths = sorted({row["path"] for row in rows})
    hashes = sorted({row["content_hash"] for row in rows if row["content_hash"]})
    if not hashes:
        return {}
    found: dict[str, str | None] = {}
    images = tables.read("images").where(F.col("content_hash").isin(hashes))
    holders = images.where(F.col("path").isin(paths)).select(F.coalesce("content_path", "path")).distinct().collect()
    contents = images.where(F.col("path").isin([row[0] for row in holders])).where("content is not null")
    small = partial(thumbnail, side=320, max_pixels=settings.images.max_pixels)
    with closing(SubprocessReader(small, settings.images.max_seconds)) as read:
        for row in contents.select("content_hash", "content").toLocalIterator():
            try:
                found[row["content_hash"]] = data_uri(read(bytes(row["content"])))
            except ImageError:
                found[row["content_hash"]] = None  # the page shows the name in its place
    return found


def _picture(row: Row, thumbnails: Mapping[str, str | None]) -> ImageCard:
    known = row.asDict()
    return ImageCard(
        path=row["path"],
        thumbnail=thumbnails.get(row["content_hash"]),
        label=known.get("label"),
        prediction=known.get("prediction"),
        score=known.get("score"),
        station=known.get("station"),
        captured_at=known.get("captured_at"),
        note=_note(known),
    )


def _note(known: Mapping[str, object]) -> str:
    """Say what the burst says, where it says another thing; of a picture that failed, why."""
    if failure := known.get("failure"):
        return str(failure)
    burst = known.get("burst_prediction")
    return f"its burst: {burst} ({known['burst_score']:.0%})" if burst != known.get("prediction") else ""
