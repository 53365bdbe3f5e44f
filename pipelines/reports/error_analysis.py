"""Error analysis of the champion on the test images, as tables and images for notebooks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.evaluation.proportions import proportion_interval
from pipelines.evaluation.results import Interval
from pipelines.evaluation.split import conflicting_labels
from pipelines.label_text import canonical_text
from pipelines.reports import notebook_html
from pipelines.reports.assemble import assemble
from pipelines.reports.charts import top_confusions
from pipelines.reports.collect import find_conflicts, load_gallery
from pipelines.reports.contents import Conflict, ReportContents
from pipelines.reports.frames import camera_hour, images_with_split, join_predictions
from pipelines.reports.notebook_html import Fragment, Rate
from pipelines.tracking.mlflow_client import CHAMPION, ModelVersion, Tracking
from pipelines.workspace.tables import Tables

NO_ERRORS = "No test image was predicted wrongly."
MAX_BURSTS = 12


@dataclass(frozen=True)
class ErrorAnalysis:
    """Errors of the champion on the test images. All methods return HTML fragments for notebooks.

    `images` are all current images with their split, `test_images` those of the test split with their predictions.
    """

    tables: Tables
    settings: Settings
    version: ModelVersion
    contents: ReportContents
    images: DataFrame
    test_images: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> ErrorAnalysis:
        """Load the champion's predictions. Raises ModelError without a champion, DataError before the first score."""
        tables, tracking = Tables.of(spark, settings), Tracking.of(settings)
        version = tracking.get_version(CHAMPION)
        tables.require("predictions")
        images = images_with_split(tables, settings, version).cache()
        scored = join_predictions(tables, images, version).where("prediction is not null")
        test = scored.where("split = 'test'").withColumn("is_wrong", F.col("label") != F.col("prediction")).cache()
        return cls(tables, settings, version, assemble(settings, tracking, version, {}), images, test)

    def summary(self) -> Fragment:
        """Return the number of test images, the number of errors, and the error rate with its interval."""
        images, wrong = self.test_images.agg(F.count("*"), F.count(F.when(F.col("is_wrong"), 1))).first()
        rates = self._error_rates(F.lit("all"))
        rate = rates[0].share if rates else Interval(None)
        tiles: list[tuple[str, int | str]] = [("Champion", str(self.version)), ("Test images", images)]
        return notebook_html.stat_tiles([*tiles, ("Errors", wrong), *notebook_html.share_tiles("Error rate", rate)])

    def confusion(self) -> Fragment:
        """Return the confusion matrix of the version's evaluation, and its most frequent confusions."""
        evaluation = self.contents.evaluation
        if evaluation is None:
            return notebook_html.paragraph("There is no evaluation.")
        rows = [[item.truth, item.prediction, item.count, item.share] for item in top_confusions(evaluation, 8)]
        worst = notebook_html.table(["Label", "Predicted as", "Images", "Of the class"], rows, NO_ERRORS)
        return notebook_html.confusion(evaluation) + worst

    def most_wrong(self, limit: int = 12, *, label: str = "") -> Fragment:
        """Return the errors with the highest scores; with `label`, those of that label."""
        wrong = self._of(label).where("is_wrong").orderBy(F.desc("score"), "path")
        return self._gallery(wrong, limit, NO_ERRORS)

    def least_confident(self, limit: int = 12, *, label: str = "") -> Fragment:
        """Return the test images with the lowest scores, correct or not; with `label`, those of that label."""
        return self._gallery(self._of(label).orderBy("score", "path"), limit, "No test image has been scored.")

    def most_confused_pairs(self, pairs: int = 4, images: int = 4) -> Fragment:
        """Return images of the most frequent confusions, those with the highest scores first."""
        wrong = self.test_images.where("is_wrong")
        counted = wrong.groupBy("label", "prediction").count().orderBy(F.desc("count"), "label", "prediction")
        rows: dict[str, list[Row]] = {}
        for pair in counted.limit(pairs).collect():
            errors = wrong.where((F.col("label") == pair["label"]) & (F.col("prediction") == pair["prediction"]))
            title = f"{pair['label']} predicted as {pair['prediction']} ({pair['count']:,})"
            rows[title] = errors.orderBy(F.desc("score"), "path").limit(images).collect()
        return notebook_html.galleries(list(load_gallery(self.tables, self.settings, rows).items()), NO_ERRORS)

    def by_station(self) -> Fragment:
        """Return the error rate of each station, the highest first."""
        rows = sorted(self._error_rates(F.col("station")), key=lambda rate: (-(rate.share.value or 0), rate.name))
        return notebook_html.rate_table("Station", "Errors", rows, "No test image has a station.")

    def by_hour(self) -> Fragment:
        """Return the error rate by hour of the camera's clock."""
        hour = F.format_string("%02d:00", camera_hour(F.col("captured_at")))
        rows = self._error_rates(F.when(F.col("captured_at").isNotNull(), hour))
        return notebook_html.rate_table("Hour", "Errors", rows, "No test image has a capture time.")

    def suspected_label_errors(self) -> Fragment:
        """Return contradictory labels: of identical images, and within a burst."""
        same, mixed, none = "Identical images", "Frames of one burst", "None have different labels."
        identical = notebook_html.label_conflicts(same, find_conflicts(self.images), none)
        return identical + notebook_html.label_conflicts(mixed, self._mixed_bursts(), none)

    def _of(self, label: str) -> DataFrame:
        if not label:
            return self.test_images
        rows = self.test_images.where(F.col("label") == canonical_text(label))
        if not rows.head(1):
            known = [row["label"] for row in self.test_images.select("label").distinct().orderBy("label").collect()]
            raise DataError(f"label = {label}: no test image has it. Known: {', '.join(known) or 'none'}.")
        return rows

    def _gallery(self, rows: DataFrame, limit: int, empty: str) -> Fragment:
        images = load_gallery(self.tables, self.settings, {"": rows.limit(limit).collect()})[""]
        return notebook_html.gallery(images, empty)

    def _error_rates(self, name: Column) -> list[Rate]:
        hits = F.count(F.when(F.col("is_wrong"), 1))
        rows = self.test_images.withColumn("of", name).where("of is not null")
        groups: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for row in rows.groupBy("of", "group_id").agg(F.count("*"), hits).orderBy("of", "group_id").collect():
            groups[row[0]].append((row[1], row[2], row[3]))
        resamples = self.settings.train.bootstrap_resamples
        return [
            Rate(
                of, sum(n for _, n, _ in counts), sum(hit for *_, hit in counts), proportion_interval(counts, resamples)
            )
            for of, counts in groups.items()
        ]

    def _mixed_bursts(self) -> list[Conflict]:
        frames = self.images.where("label is not null and burst_id is not null and failure is null")
        frames = frames.join(
            conflicting_labels(self.images), "content_hash", "left_anti"
        )  # reported as identical images
        several = frames.groupBy("burst_id").agg(F.countDistinct("label").alias("labels"), F.min("path").alias("first"))
        mixed = several.where("labels > 1").orderBy("first").limit(MAX_BURSTS).select("burst_id")
        bursts: dict[str, list[Row]] = defaultdict(list)
        for row in frames.join(mixed, "burst_id", "left_semi").orderBy("path").collect():
            bursts[row["burst_id"]].append(row)
        return [Conflict(tuple(r["path"] for r in rows), tuple(r["label"] for r in rows)) for rows in bursts.values()]
