"""Notes of ingest on the source: skipped files, files that could not be listed, and missing serial numbers."""

from __future__ import annotations

from pyspark.sql import functions as F

from pipelines.sources.listing import Listing
from pipelines.sources.registry import Source
from pipelines.workspace.tables import Tables


def no_images_message(source: Source, listing: Listing) -> str:
    """Return the message of an error on a source without images."""
    problem = f" ({listing.problems[0]})" if listing.problems else ""
    others = f", only {listing.skipped_files}" if listing.skipped_files.total else ""
    return (
        f"{source.root} has no images{problem}{others}. "
        "Give another folder, or the suffixes of your images: --set sources.extensions=jpg,..."
    )


def source_notes(listing: Listing) -> list[str]:
    """Return notes on the source: skipped files, and files that could not be listed."""
    notes = list(listing.notes)
    if skipped := listing.skipped_files.note(listing.count):
        notes.append(skipped)
    if listing.problems:
        notes.append(f"{len(listing.problems):,} files could not be listed, first {listing.problems[0]}.")
    return notes


def missing_serial_notes(tables: Tables, root: str) -> list[str]:
    """Return a note on images with an unknown station, because they have no serial number."""
    is_unknown = F.col("station").isNull()
    readable = tables.latest_images().where(F.col("path").startswith(root) & F.col("failure").isNull())
    unknown, total, first = readable.agg(
        F.count(F.when(is_unknown, True)), F.count("*"), F.min(F.when(is_unknown, F.col("path")))
    ).first()
    if not unknown:
        return []
    return [
        f"{unknown:,} of {total:,} images have no serial number that irbis can read, hence no station, first {first}. "
        "Give it by folder or name instead: sources.station=folder:N or regex:PATTERN."
    ]
