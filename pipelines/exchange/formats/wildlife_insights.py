"""Wildlife Insights: images.csv of a download. Its upload needs identifiers that only its own site gives out."""

from __future__ import annotations

from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.exchange.formats.base import Format, Imported
from pipelines.exchange.label_rows import read_labels_of, sniff_table
from pipelines.sources.label_tables import wildlife_insights

COMPUTER = "computer vision"  # in identified_by, until a person has confirmed the identification


def matches(path: Path) -> bool:
    table = sniff_table(path)
    return table is not None and wildlife_insights.matches(table)


def read(path: Path, settings: Settings) -> Imported:
    """Read labels, stations and times; those identified by computer vision are a model's."""
    imported = read_labels_of(path, settings.sources.columns)
    rows = imported.labels
    if rows is not None and "reviewer" in rows:
        rows["is_machine"] = rows["reviewer"].str.lower() == COMPUTER
    return imported


FORMAT = Format("wildlife-insights", "Wildlife Insights", None, matches, read)
