"""Collect suspected label errors for the report, from the evaluation of the champion and today's labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.reports.collect import load_gallery
from pipelines.reports.contents import LabelErrorSummary
from pipelines.workspace.labels import FROM_PERSON, effective_images
from pipelines.workspace.tables import Tables


def collect_suspects(tables: Tables, settings: Settings, evaluations: Mapping[str, Any]) -> LabelErrorSummary | None:
    """Return the first suspects, at most `report.gallery_size`; None if the version was trained without a ranking.

    Left out are images whose label has changed since the training, and those that a person has decided about.
    """
    values = evaluations.get("label_errors")
    if not values:
        return None
    by_hash = {each["content_hash"]: each for each in values["first"]}
    images = effective_images(tables, settings.sources.label_case)
    images = images.where(F.col("content_hash").isin(list(by_hash)) & (F.col("label_source") != FROM_PERSON))
    first = images.groupBy("content_hash").agg(F.min(F.struct("path", "label", "station", "captured_at")).alias("row"))
    rows = {row["content_hash"]: row for row in first.select("content_hash", "row.*").collect()}
    shown = [
        rows[content_hash]
        for content_hash, each in by_hash.items()
        if content_hash in rows and rows[content_hash]["label"] == each["label"]
    ][: settings.report.gallery_size]
    cards = load_gallery(tables, settings, {"suspects": shown})["suspects"]
    suspects = tuple(
        replace(card, prediction=each["suggested"], score=each["self_confidence"])
        for card, each in zip(cards, (by_hash[row["content_hash"]] for row in shown), strict=True)
    )
    return LabelErrorSummary(values["method"], values["ranked"], values["unranked"], suspects)
