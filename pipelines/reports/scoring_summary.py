"""What the champion says of one set of images: as tables and images that a notebook shows, and as a CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.evaluation.proportions import proportion_interval
from pipelines.reports import notebook_html
from pipelines.reports.collect import load_gallery
from pipelines.reports.frames import images_with_split, join_predictions
from pipelines.reports.notebook_html import Fragment
from pipelines.sources.registry import open_source
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.files import write_text
from pipelines.workspace.tables import Tables

COLUMNS = ("path", "station", "captured_at", "prediction", "score", "burst_prediction", "burst_score", "needs_review")


@dataclass(frozen=True)
class ScoringSummary:
    """Show the predictions for the images below one source. `rows` are its images, failed ones too."""

    tables: Tables
    settings: Settings
    version: ModelVersion
    rows: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> ScoringSummary:
        """Look at what was scored of sources.images. Raises DataError where nothing was scored yet."""
        tables = Tables.of(spark, settings)
        tables.require("predictions")
        version = Tracking.of(settings).get_version(settings.score.model_version)
        images = images_with_split(tables, settings, version)
        images = images.where(F.col("path").startswith(open_source(settings).root))
        return cls(tables, settings, version, join_predictions(tables, images, version).cache())

    def summary(self) -> Fragment:
        """Give the number of images, how many need a person's eye, and what share of all that is."""
        group = F.coalesce("group_id", "path")
        review = F.count(F.when(F.col("needs_review"), 1))
        counted = self.rows.groupBy(group.alias("of")).agg(F.count("*"), review).orderBy("of").collect()
        share = proportion_interval([tuple(row) for row in counted], self.settings.train.bootstrap_resamples)
        failed = self.rows.where("failure is not null").count()
        images, to_review = sum(row[1] for row in counted), sum(row[2] for row in counted)
        tiles: list[tuple[str, int | str]] = [("Scored with", str(self.version)), ("Images", images)]
        tiles += [("Could not be read", failed), ("Need a person's eye", to_review)]
        return notebook_html.stat_tiles([*tiles, *notebook_html.share_tiles("Share to look at", share)])

    def counts(self) -> Fragment:
        """Give how many images were taken for each label, and how many of them need a person's eye."""
        review = F.count(F.when(F.col("needs_review"), 1))
        readable = self.rows.where("prediction is not null")
        found = readable.groupBy("prediction").agg(F.count("*"), review).orderBy("prediction").collect()
        rows = [[label, images, to_review, to_review / images] for label, images, to_review in found]
        return notebook_html.table(["Predicted", "Images", "To review", "Share"], rows, "No image could be read.")

    def to_review(self, most: int = 24) -> Fragment:
        """Give readable images that need a person's eye, those of the surest bursts last."""
        rows = self.rows.where("needs_review and prediction is not null").orderBy("burst_score", "score", "path")
        shown = load_gallery(self.tables, self.settings, {"": rows.limit(most).collect()})[""]
        return notebook_html.gallery(shown, "No image needs a person's eye.")

    def failures(self) -> Fragment:
        """Give the images that could not be read, with the reason of each kind and an example."""
        example = F.min(F.struct("path", "failure_detail")).alias("example")
        counted = self.rows.where("failure is not null").groupBy("failure").agg(F.count("*").alias("n"), example)
        rows = [
            [row["failure"], row["n"], row["example"]["path"], row["example"]["failure_detail"] or ""]
            for row in counted.orderBy(F.desc("n"), "failure").collect()
        ]
        return notebook_html.table(["Failure", "Images", "For example", "Reason"], rows, "Every image could be read.")

    def write_csv(self, name: str = "") -> Fragment:
        """Write a row for each image to WORKSPACE/results/NAME.csv, and say where it is and how many rows it has."""
        probabilities = [F.col("probabilities")[label].alias(f"probability_{label}") for label in self.version.classes]
        chosen = [*COLUMNS, F.col("failure"), F.lit(str(self.version)).alias("model")]
        found = self.rows.select(*chosen, *probabilities).orderBy("path").toPandas()
        folder = PurePosixPath(open_source(self.settings).root).name
        stem = name or f"{folder}-{self.version.name}-{self.version.version}"
        address = write_text(self.tables, f"results/{stem}.csv", found.apply(_as_cells).to_csv(index=False))
        return notebook_html.table(["Results", "Rows"], [[address, len(found)]])


def _as_cells(column: pd.Series) -> pd.Series:
    return column.map(as_cell) if column.dtype == object else column


def as_cell(value: Any) -> Any:
    """Return a value as a spreadsheet shows it: a text that it would take for a formula, after an apostrophe."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
