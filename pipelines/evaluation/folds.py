"""Folds of grouped cross-validation: a hash of the group, the same for every candidate."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def assign_folds(rows: DataFrame, folds: int, salt: str, unit: str = "group_id") -> DataFrame:
    """Add `fold`, from 0 to folds - 1, the same for all rows of a group; rows have group_id and label.

    Stratified grouped k-fold: the groups of each label are assigned to the folds in turn, in the order of their hash. A
    label with as many groups as there are folds is in every fold, and no fold is empty. A group with several labels
    counts as one of the rarest of them, whose few groups must be spread out. `unit` names the column to use instead of
    the group; content_hash makes folds of single images, as a random split would.
    """
    counts = rows.groupBy("label").agg(F.countDistinct(unit).alias("units"))
    rarest = F.min(F.struct("units", "label"))["label"]
    units = rows.join(F.broadcast(counts), "label").groupBy(unit).agg(rarest.alias("label"))
    by_hash = Window.partitionBy("label").orderBy(F.sha2(F.concat(F.lit(f"{salt}:fold:"), F.col(unit)), 256), unit)
    # Each label starts at a fold of its own, or the first folds would be larger by one group of every label.
    position = F.row_number().over(by_hash) + F.abs(F.hash("label") % folds)
    return rows.join(units.select(unit, (position % folds).cast("int").alias("fold")), unit)


def in_fold(fold: int) -> Column:
    """Return whether a row is in the fold."""
    return F.col("fold") == fold
