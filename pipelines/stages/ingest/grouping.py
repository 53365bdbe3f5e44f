"""Notes of ingest on bursts and groups: how they were found, and which times could not be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.group_ids import group_basis
from pipelines.evaluation.review_policy import BLANK_LABELS
from pipelines.formatting import pluralize
from pipelines.stages.ingest.bursts import SAME_SECOND
from pipelines.workspace.tables import Tables, ingested_since

REMEDY = "Set sources.station (folder:N or regex:PATTERN), or give a column station with the labels"


@dataclass
class GroupingSummary:
    """Counts, added up over chunks, of how the groups of new images were found and which times are unknown."""

    bases: Counter[str] = field(default_factory=Counter)
    stuck: int = 0  # images of a camera whose clock is stuck
    named: int = 0  # images whose time is from the file name
    odd: int = 0  # images with an implausible time
    first_odd: tuple[str, str] | None = None  # path and time

    def add(self, rows: DataFrame, bursts: DataFrame) -> None:
        """Count fetched rows (path, odd_time, is_time_named, failure).

        `bursts` holds their path, group_id and is_clock_stuck.
        """
        readable = rows.where("failure is null").select("path", "odd_time", "is_time_named")
        readable = readable.join(F.broadcast(bursts), "path")
        odd = F.when(F.col("odd_time").isNotNull(), F.struct("path", "odd_time"))
        counted = readable.groupBy(group_basis(F.col("group_id")).alias("basis")).agg(
            F.count("*").alias("images"),
            F.sum(F.col("is_clock_stuck").cast("int")).alias("stuck"),
            F.sum(F.col("is_time_named").cast("int")).alias("named"),
            F.count("odd_time").alias("odd"),
            F.min(odd).alias("first_odd"),
        )
        for row in counted.collect():
            self.bases[row["basis"]] += row["images"]
            self.stuck += row["stuck"]
            self.named += row["named"]
            self.odd += row["odd"]
            examples = [example for example in (self.first_odd, row["first_odd"]) if example]
            self.first_odd = min(map(tuple, examples), default=None)

    def notes(self, *, with_guesses: bool) -> list[str]:
        """Return notes on times that are not used and, `with_guesses`, on groups that were found without them."""
        notes = []
        if self.first_odd:
            path, time = self.first_odd
            notes.append(
                f"{pluralize(self.odd, 'image')} with an implausible time, first {path} ({time}): it counts as "
                "unknown. Give the correct time in a column captured_at of the labels."
            )
        if self.stuck:
            notes.append(
                f"{self.stuck:,} images were taken in the same second as more than {SAME_SECOND - 1} others of their "
                "camera, or all of its times are midnight: its clock was stuck or has no time of day, and their "
                "times are not used to find bursts."
            )
        if self.named:
            notes.append(f"the time of {pluralize(self.named, 'image')} is from the file name: no other is known.")
        return [*notes, *self._guess_notes()] if with_guesses else notes

    def _guess_notes(self) -> list[str]:
        by_name, alone, in_order = (self.bases[name] for name in ("file name", "image", "file order"))
        total = sum(self.bases.values())
        parts = [
            f"bursts of {by_name:,} are found by folder, file name and time" if by_name else "",
            f"{alone:,} without a time are groups of their own" if alone else "",
        ]
        notes = []
        if by_name or alone:
            notes.append(
                f"station and camera of {by_name + alone:,} of {total:,} images are unknown: "
                f"{', '.join(filter(None, parts))}. {REMEDY}."
            )
        if in_order:
            notes.append(
                f"{in_order:,} images have no usable time: at each station, those with consecutive file "
                "numbers are one group. Give a column captured_at with the labels."
            )
        return notes


def contradiction_notes(tables: Tables, since: datetime | None) -> list[str]:
    """Return a note on bursts whose frames have different labels, if there are any.

    Blank frames beside frames with an animal do not count. `since`: only bursts of rows written since then; None: all.
    Frames of one burst vote together: if they are not of one trigger, the vote is wrong.
    """
    current = tables.latest_images()
    if since is not None:
        changed = tables.broadcast_keys(current.where(ingested_since(since)).select("burst_id").distinct())
        current = current.join(changed, "burst_id", "left_semi")
    bursts = contradicting_bursts(current).agg(F.count("*"), F.min(F.struct("burst_id", "labels"))).first()
    if not bursts[0]:
        return []
    return [
        f"{pluralize(bursts[0], 'burst')} with different labels, first {bursts[1]['burst_id']} "
        f"({', '.join(bursts[1]['labels'])}). If the frames are of different cameras: {REMEDY}."
    ]


def contradicting_bursts(images: DataFrame) -> DataFrame:
    """Return burst_id and labels of bursts with more than one label that is not blank.

    Copies of one image under different labels are left to `conflicting_labels`.
    """
    labelled = images.where("failure is null and label is not null").where(~_is_blank(F.col("label")))
    labels, contents = F.array_sort(F.collect_set("label")), F.countDistinct("content_hash")
    grouped = labelled.groupBy("burst_id").agg(labels.alias("labels"), contents.alias("contents"))
    return grouped.where("size(labels) > 1 and contents > 1").drop("contents")


def _is_blank(label: Column) -> Column:
    return F.lower(F.trim(label)).isin(list(BLANK_LABELS))
