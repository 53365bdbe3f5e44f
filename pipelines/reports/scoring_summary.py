"""Predictions for the images of one source, as tables and images for notebooks, and as a CSV file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.evaluation.proportions import proportion_interval
from pipelines.reports import notebook_html
from pipelines.reports.collect import load_gallery
from pipelines.reports.frames import images_with_split, join_predictions
from pipelines.reports.notebook_html import Fragment
from pipelines.sources.registry import open_source
from pipelines.spark.local_files import write_csv
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.files import upload_file
from pipelines.workspace.tables import Tables

COLUMNS = ("path", "station", "captured_at", "prediction", "score", "burst_prediction", "burst_score", "needs_review")
TIME = "yyyy-MM-dd HH:mm:ss"


@dataclass(frozen=True)
class ScoringSummary:
    """Predictions for the images of sources.images. Most methods return HTML fragments for notebooks.

    `rows` are the images with their predictions, failed ones included.
    """

    tables: Tables
    settings: Settings
    version: ModelVersion
    rows: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> ScoringSummary:
        """Load the predictions for sources.images. Raises DataError before the first score."""
        tables = Tables.of(spark, settings)
        tables.require("predictions")
        version = Tracking.of(settings).get_version(settings.score.model_version)
        images = images_with_split(tables, settings, version)
        images = images.where(F.col("path").startswith(open_source(settings).root))
        return cls(tables, settings, version, join_predictions(tables, images, version).cache())

    def summary(self) -> Fragment:
        """Return the number of images, how many need review, and the review share with its interval."""
        group = F.coalesce("group_id", "path")
        review = F.count(F.when(F.col("needs_review"), 1))
        counted = self.rows.groupBy(group.alias("of")).agg(F.count("*"), review).orderBy("of").collect()
        share = proportion_interval([tuple(row) for row in counted], self.settings.train.bootstrap_resamples)
        failed = self.rows.where("failure is not null").count()
        images, to_review = sum(row[1] for row in counted), sum(row[2] for row in counted)
        tiles: list[tuple[str, int | str]] = [("Scored with", str(self.version)), ("Images", images)]
        tiles += [("Could not be read", failed), ("Need review", to_review)]
        return notebook_html.stat_tiles([*tiles, *notebook_html.share_tiles("Review share", share)])

    def counts(self) -> Fragment:
        """Return the number of images predicted as each label, and how many of them need review."""
        review = F.count(F.when(F.col("needs_review"), 1))
        readable = self.rows.where("prediction is not null")
        counted = readable.groupBy("prediction").agg(F.count("*"), review).orderBy("prediction").collect()
        rows = [[label, images, to_review, to_review / images] for label, images, to_review in counted]
        return notebook_html.table(["Prediction", "Images", "Need review", "Fraction"], rows, "No image could be read.")

    def to_review(self, limit: int = 24) -> Fragment:
        """Return readable images that need review, those with the least confident bursts first."""
        rows = self.rows.where("needs_review and prediction is not null").orderBy("burst_score", "score", "path")
        shown = load_gallery(self.tables, self.settings, {"": rows.limit(limit).collect()})[""]
        return notebook_html.gallery(shown, "No image needs review.")

    def failures(self) -> Fragment:
        """Return the failures: number of images, an example and its reason."""
        example = F.min(F.struct("path", "failure_detail")).alias("example")
        counted = self.rows.where("failure is not null").groupBy("failure").agg(F.count("*").alias("n"), example)
        rows = [
            [row["failure"], row["n"], row["example"]["path"], row["example"]["failure_detail"] or ""]
            for row in counted.orderBy(F.desc("n"), "failure").collect()
        ]
        return notebook_html.table(["Failure", "Images", "Example", "Reason"], rows, "All images could be read.")

    def write_csv(self, name: str = "") -> Fragment:
        """Write one row per image to WORKSPACE/results/NAME.csv; return its location and number of rows.

        `name`: by default FOLDER-MODEL-VERSION.
        """
        probabilities = [F.col("probabilities")[label].alias(f"probability_{label}") for label in self.version.classes]
        columns = [*COLUMNS, F.col("failure"), F.lit(str(self.version)).alias("model")]
        rows = self.rows.select(*columns, *probabilities).orderBy("path")
        rows = rows.withColumn("captured_at", F.date_format("captured_at", TIME))
        folder = PurePosixPath(open_source(self.settings).root).name
        stem = name or f"{folder}-{self.version.name}-{self.version.version}"
        with tempfile.TemporaryDirectory() as scratch:
            draft = Path(scratch, "results.csv")
            count = write_csv(rows, draft, escapes_formulas=True)
            address = upload_file(self.tables, draft, f"results/{stem}.csv")
        return notebook_html.table(["Results", "Rows"], [[address, count]])
