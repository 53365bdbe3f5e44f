"""What a workspace holds, step by step, as tables and images that a notebook shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.config.settings import Settings
from pipelines.reports import notebook_html
from pipelines.reports.assemble import assemble
from pipelines.reports.collect import gather, load_gallery
from pipelines.reports.contents import ReportContents
from pipelines.reports.notebook_html import Fragment
from pipelines.reports.staleness import REPORT_PATH, report_fingerprint
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.files import file_uri
from pipelines.workspace.tables import Tables

OF_THE_MODEL = ("short", "evaluation", "model")  # sections that are known before anything is scored
MOST_DOTS = 1000  # images on the map of the features


@dataclass(frozen=True)
class WorkspaceOverview:
    """Show the state of a workspace. What takes Spark jobs is kept until a table or the champion is another."""

    tables: Tables
    settings: Settings
    tracking: Tracking
    _kept: dict[str, ReportContents] = field(default_factory=dict)

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> WorkspaceOverview:
        return cls(Tables.of(spark, settings), settings, Tracking.of(settings))

    def images(self, most: int = 12) -> Fragment:
        """Give images as they were read, of each label in turn, those without one last."""
        images = self.tables.latest_images().where("failure is null")
        turn = Window.partitionBy("label").orderBy(F.xxhash64("path"))
        by_turn = ["turn", F.col("label").asc_nulls_last()]
        mixed = images.withColumn("turn", F.row_number().over(turn)).orderBy(*by_turn).limit(most)
        rows = mixed.select("path", "content_hash", "label", "station", "captured_at").collect()
        return notebook_html.gallery(
            load_gallery(self.tables, self.settings, {"": rows})[""], "No image could be read."
        )

    def section(self, name: str) -> Fragment:
        """Give a section of the report as of now: short, evaluation, images, counts, data or model."""
        return notebook_html.section(self._contents(name in OF_THE_MODEL), name)

    def features(self) -> Fragment:
        """Give what featurize has made: counts, and a map of the features on which like images lie together."""
        rows = read_features(self.tables, backbone := feature_id(self.settings))
        rows = rows.join(self.tables.latest_images().select("content_hash").distinct(), "content_hash", "left_semi")
        count, failed, length = rows.agg(F.count("*"), F.count("failure"), F.max(F.size("features"))).first()
        facts = notebook_html.stat_tiles(
            [("Different images", count), ("Without features", failed), ("Numbers for each", max(length or 0, 0))]
        )
        reasons = notebook_html.table(["Failure", "Images", "Reason"], self._failed(rows), "Every image has features.")
        return facts + notebook_html.paragraph(f"Backbone: {backbone}") + reasons + self._map(rows)

    def report(self) -> Fragment:
        """Say where the report is."""
        return notebook_html.table(["The report"], [[file_uri(self.tables, REPORT_PATH)]])

    def _failed(self, rows: DataFrame) -> list[list[object]]:
        counted = rows.where("failure is not null").groupBy("failure").agg(F.count("*"), F.min("failure_detail"))
        return [[*row] for row in counted.orderBy(F.desc("count(1)"), "failure").collect()]

    def _map(self, rows: DataFrame) -> Fragment:
        labels = self.tables.latest_images().where("label is not null").groupBy("content_hash").agg(F.min("label"))
        drawn = rows.where("features is not null").join(labels, "content_hash").orderBy("content_hash").limit(MOST_DOTS)
        found = [(row[0], row["features"]) for row in drawn.select("min(label)", "features").collect()]
        if len(found) < 3:
            return notebook_html.paragraph("Too few labelled images for a map of the features.")
        from pipelines.reports.plots import pca_figure

        alt = f"The features of {len(found):,} labelled images along their two main directions, a colour for a label"
        figure = pca_figure([label for label, _ in found], [features for _, features in found])
        return notebook_html.plot(figure, alt)

    def _contents(self, is_of_the_model: bool) -> ReportContents:
        version = self.tracking.champion()
        mark = report_fingerprint(self.tables, self.settings, version.run_id if version else None)
        if mark not in self._kept:
            if is_of_the_model and not self.tables.exists("predictions"):
                return assemble(self.settings, self.tracking, version, {})
            gathered = gather(self.tables, self.settings, version)
            self._kept.clear()
            self._kept[mark] = assemble(self.settings, self.tracking, version, gathered.parts)
        return self._kept[mark]
