"""Folds: which part of what is learned from each group helps to judge, the same for every candidate."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def assign_folds(rows: DataFrame, folds: int, salt: str, unit: str = "group_id") -> DataFrame:
    """Add `fold`, from 0 to folds - 1, the same for all rows of a group; rows have group_id and label.

    Groups are dealt out in the order of their hash, those of each label in turn (stratified and grouped k-fold): a
    label with as many groups as there are folds is in every one of them, and no fold is empty. A group of several
    labels counts as one of the rarest, whose few groups must not fall together. `unit` names the column that is dealt
    instead of the group; content_hash makes folds of single images, as a random split would.
    """
    counts = rows.groupBy("label").agg(F.countDistinct(unit).alias("units"))
    rarest = F.min(F.struct("units", "label"))["label"]
    units = rows.join(F.broadcast(counts), "label").groupBy(unit).agg(rarest.alias("label"))
    by_hash = Window.partitionBy("label").orderBy(F.sha2(F.concat(F.lit(f"{salt}:fold:"), F.col(unit)), 256), unit)
    # Labels begin at folds of their own, or the first folds would be larger by one group of each.
    dealt = F.row_number().over(by_hash) + F.abs(F.hash("label") % folds)
    return rows.join(units.select(unit, (dealt % folds).cast("int").alias("fold")), unit)


def in_fold(fold: int) -> Column:
    """Say whether a row is of the fold."""
    return F.col("fold") == fold
