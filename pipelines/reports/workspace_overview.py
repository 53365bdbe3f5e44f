"""Overview of a workspace after each stage, as tables and images for notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.config.settings import Settings
from pipelines.reports import notebook_html
from pipelines.reports.assemble import assemble
from pipelines.reports.collect import collect_inputs, load_gallery
from pipelines.reports.contents import ReportContents
from pipelines.reports.notebook_html import Fragment
from pipelines.reports.staleness import REPORT_PATH, report_fingerprint
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.files import file_uri
from pipelines.workspace.labels import effective_images
from pipelines.workspace.tables import Tables

MODEL_SECTIONS = ("short", "evaluation", "model")  # sections that need no predictions
MAX_POINTS = 1000  # images in the plot of the features


@dataclass(frozen=True)
class WorkspaceOverview:
    """The state of a workspace. All methods return HTML fragments for notebooks.

    Results of Spark jobs are cached until a table or the champion changes.
    """

    tables: Tables
    settings: Settings
    tracking: Tracking
    _cache: dict[str, ReportContents] = field(default_factory=dict)

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> WorkspaceOverview:
        """Return the overview of the settings' workspace."""
        return cls(Tables.of(spark, settings), settings, Tracking.of(settings))

    def images(self, limit: int = 12) -> Fragment:
        """Return readable images, alternating between the labels, unlabelled ones last."""
        current = effective_images(self.tables, self.settings.sources.label_case).where("failure is null")
        turn = Window.partitionBy("label").orderBy(F.xxhash64("path"))
        by_turn = ["turn", F.col("label").asc_nulls_last()]
        mixed = current.withColumn("turn", F.row_number().over(turn)).orderBy(*by_turn).limit(limit)
        rows = mixed.select("path", "content_hash", "label", "station", "captured_at").collect()
        images = load_gallery(self.tables, self.settings, {"": rows})[""]
        return notebook_html.gallery(images, "There is no readable image.")

    def section(self, name: str) -> Fragment:
        """Return a section of the report as of now: short, evaluation, images, counts, data or model."""
        return notebook_html.section(self._contents(name in MODEL_SECTIONS), name)

    def features(self) -> Fragment:
        """Return what featurize computed: counts, failures, and a PCA plot of the features."""
        rows = read_features(self.tables, backbone := feature_id(self.settings))
        rows = rows.join(self.tables.latest_images().select("content_hash").distinct(), "content_hash", "left_semi")
        count, failed, length = rows.agg(F.count("*"), F.count("failure"), F.max(F.size("features"))).first()
        tiles = [("Distinct images", count), ("Without features", failed), ("Feature dimension", max(length or 0, 0))]
        reasons = notebook_html.table(
            ["Failure", "Images", "Reason"], self._failure_rows(rows), "Every image has features."
        )
        title = notebook_html.stat_tiles(tiles) + notebook_html.paragraph(f"Backbone: {backbone}")
        return title + reasons + self._feature_plot(rows)

    def report(self) -> Fragment:
        """Return the location of the report."""
        return notebook_html.table(["Report"], [[file_uri(self.tables, REPORT_PATH)]])

    def _failure_rows(self, rows: DataFrame) -> list[list[object]]:
        counted = rows.where("failure is not null").groupBy("failure").agg(F.count("*"), F.min("failure_detail"))
        return [[*row] for row in counted.orderBy(F.desc("count(1)"), "failure").collect()]

    def _feature_plot(self, rows: DataFrame) -> Fragment:
        current = effective_images(self.tables, self.settings.sources.label_case)
        labels = current.where("label is not null").groupBy("content_hash").agg(F.min("label"))
        sample = (
            rows.where("features is not null").join(labels, "content_hash").orderBy("content_hash").limit(MAX_POINTS)
        )
        points = [(row[0], row["features"]) for row in sample.select("min(label)", "features").collect()]
        if len(points) < 3:
            return notebook_html.paragraph("Too few labelled images to plot the features.")
        from pipelines.reports.plots import pca_figure

        alt = f"The features of {len(points):,} labelled images on two principal components, coloured by label"
        figure = pca_figure([label for label, _ in points], [features for _, features in points])
        return notebook_html.plot(figure, alt)

    def _contents(self, needs_model_only: bool) -> ReportContents:
        version = self.tracking.champion()
        key = report_fingerprint(self.tables, self.settings, version.run_id if version else None)
        if key not in self._cache:
            if needs_model_only and not self.tables.exists("predictions"):
                return assemble(self.settings, self.tracking, version, {})
            inputs = collect_inputs(self.tables, self.settings, version)
            self._cache.clear()
            self._cache[key] = assemble(self.settings, self.tracking, version, inputs.parts)
        return self._cache[key]
