"""Where the champion errs, on images that it has never seen: as tables and images that a notebook shows."""

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
from pipelines.reports.collect import conflicts, load_gallery
from pipelines.reports.contents import Conflict, ReportContents
from pipelines.reports.frames import camera_hour, images_with_split, join_predictions
from pipelines.reports.notebook_html import Fragment, Rate
from pipelines.tracking.mlflow_client import CHAMPION, ModelVersion, Tracking
from pipelines.workspace.tables import Tables

NO_MISTAKE = "No test image was predicted wrongly."
MOST_BURSTS = 12


@dataclass(frozen=True)
class ErrorAnalysis:
    """Show a champion's answers on the test images. `seen` are all images with their split, `tested` what it said."""

    tables: Tables
    settings: Settings
    version: ModelVersion
    contents: ReportContents
    seen: DataFrame
    tested: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> ErrorAnalysis:
        """Look into a workspace. Raises ModelError without a champion, DataError where nothing was scored."""
        tables, tracking = Tables.of(spark, settings), Tracking.of(settings)
        version = tracking.get_version(CHAMPION)
        tables.require("predictions")
        seen = images_with_split(tables, settings, version).cache()
        scored = join_predictions(tables, seen, version).where("prediction is not null")
        tested = scored.where("split = 'test'").withColumn("is_wrong", F.col("label") != F.col("prediction")).cache()
        return cls(tables, settings, version, assemble(settings, tracking, version, {}), seen, tested)

    def summary(self) -> Fragment:
        """Give how many test images there are, and how many of them are wrong."""
        images, wrong = self.tested.agg(F.count("*"), F.count(F.when(F.col("is_wrong"), 1))).first()
        rated = self._rates(F.lit("all"))
        share = rated[0].share if rated else Interval(None)
        tiles: list[tuple[str, int | str]] = [("Champion", str(self.version)), ("Test images", images)]
        return notebook_html.stat_tiles([*tiles, ("Wrong", wrong), *notebook_html.share_tiles("Share wrong", share)])

    def confusion(self) -> Fragment:
        """Give what was taken for what when the version was tested, and its most frequent mistakes."""
        evaluation = self.contents.evaluation
        if evaluation is None:
            return notebook_html.paragraph("Nothing was evaluated.")
        rows = [[each.truth, each.prediction, each.count, each.share] for each in top_confusions(evaluation, 8)]
        worst = notebook_html.table(["Labelled", "Taken for", "Images", "Of its class"], rows, NO_MISTAKE)
        return notebook_html.confusion(evaluation) + worst

    def most_wrong(self, most: int = 12, *, label: str = "") -> Fragment:
        """Give the test images on which it was wrong and surest; with `label` those of that label."""
        wrong = self._of(label).where("is_wrong").orderBy(F.desc("score"), "path")
        return self._gallery(wrong, most, NO_MISTAKE)

    def least_sure(self, most: int = 12, *, label: str = "") -> Fragment:
        """Give the test images that it was least sure of, right or wrong."""
        return self._gallery(self._of(label).orderBy("score", "path"), most, "No test image was scored.")

    def most_confused_pairs(self, kinds: int = 4, each: int = 4) -> Fragment:
        """Give images of the most frequent mistakes, the surest first."""
        wrong = self.tested.where("is_wrong")
        counted = wrong.groupBy("label", "prediction").count().orderBy(F.desc("count"), "label", "prediction")
        chosen: dict[str, list[Row]] = {}
        for kind in counted.limit(kinds).collect():
            of_kind = wrong.where((F.col("label") == kind["label"]) & (F.col("prediction") == kind["prediction"]))
            title = f"{kind['label']} taken for {kind['prediction']} ({kind['count']:,})"
            chosen[title] = of_kind.orderBy(F.desc("score"), "path").limit(each).collect()
        return notebook_html.galleries(list(load_gallery(self.tables, self.settings, chosen).items()), NO_MISTAKE)

    def by_station(self) -> Fragment:
        """Give the share of wrong answers at each station, the highest first."""
        rows = sorted(self._rates(F.col("station")), key=lambda each: (-(each.share.value or 0), each.name))
        return notebook_html.rate_table("Station", "Wrong", rows, "No test image has a station.")

    def by_hour(self) -> Fragment:
        """Give the share of wrong answers by the hour of the camera's own clock."""
        hour = F.format_string("%02d:00", camera_hour(F.col("captured_at")))
        rows = self._rates(F.when(F.col("captured_at").isNotNull(), hour))
        return notebook_html.rate_table("Hour", "Wrong", rows, "No test image has a time.")

    def suspected_label_errors(self) -> Fragment:
        """Give labels that contradict one another: on identical images, and within one burst."""
        same, mixed = "Identical images", "Frames of one burst"
        found = notebook_html.label_conflicts(same, conflicts(self.seen), "None stand under several labels.")
        return found + notebook_html.label_conflicts(mixed, self._mixed_bursts(), "None stand under several labels.")

    def _of(self, label: str) -> DataFrame:
        if not label:
            return self.tested
        rows = self.tested.where(F.col("label") == canonical_text(label))
        if not rows.head(1):
            known = [row["label"] for row in self.tested.select("label").distinct().orderBy("label").collect()]
            raise DataError(f"label = {label}: no test image has it. Known: {', '.join(known) or 'none'}.")
        return rows

    def _gallery(self, rows: DataFrame, most: int, none: str) -> Fragment:
        return notebook_html.gallery(
            load_gallery(self.tables, self.settings, {"": rows.limit(most).collect()})[""], none
        )

    def _rates(self, name: Column) -> list[Rate]:
        hits = F.count(F.when(F.col("is_wrong"), 1))
        rows = self.tested.withColumn("of", name).where("of is not null")
        found: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for row in rows.groupBy("of", "group_id").agg(F.count("*"), hits).orderBy("of", "group_id").collect():
            found[row[0]].append((row[1], row[2], row[3]))
        return [
            Rate(
                of, sum(n for _, n, _ in each), sum(hit for *_, hit in each), proportion_interval(each, self._resamples)
            )
            for of, each in found.items()
        ]

    @property
    def _resamples(self) -> int:
        return self.settings.train.bootstrap_resamples

    def _mixed_bursts(self) -> list[Conflict]:
        frames = self.seen.where("label is not null and burst_id is not null and failure is null")
        frames = frames.join(conflicting_labels(self.seen), "content_hash", "left_anti")  # told of already
        several = frames.groupBy("burst_id").agg(F.countDistinct("label").alias("labels"), F.min("path").alias("first"))
        chosen = several.where("labels > 1").orderBy("first").limit(MOST_BURSTS).select("burst_id")
        found: dict[str, list[Row]] = defaultdict(list)
        for row in frames.join(chosen, "burst_id", "left_semi").orderBy("path").collect():
            found[row["burst_id"]].append(row)
        return [Conflict(tuple(r["path"] for r in rows), tuple(r["label"] for r in rows)) for rows in found.values()]
