"""Decisions of people about images: append them, and find the label in force of each image.

A person's decision comes before the label of the labels file or folder. It belongs to the content, not to the path, so
that moved and renamed files keep it. Decisions are only ever added: an undo is a decision too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.schemas import Decision
from pipelines.workspace.tables import Tables

IN_FORCE = ("confirm", "correct", "unknown")  # actions that decide the label
FROM_PERSON, FROM_SOURCE = "person", "source"  # values of label_source


def append_decisions(tables: Tables, decisions: Sequence[Decision]) -> None:
    """Add decisions to the table labels, in one commit; those whose id it has already are not added again."""
    if not decisions:
        return
    ddl = ", ".join(f"{name} {kind}" for name, kind in schemas.parse_ddl(schemas.LABELS).items())
    unique: dict[str, Any] = {each.decision_id: tuple(each) for each in decisions}
    tables.insert_missing("labels", tables.spark.createDataFrame(list(unique.values()), ddl), "decision_id")


def decisions_in_force(tables: Tables) -> DataFrame:
    """Return one row of `labels` for each content that a person has decided about: the newest that was not undone."""
    decisions = tables.read("labels")
    undone = decisions.where("undoes is not null").select(F.col("undoes").alias("decision_id"))
    standing = decisions.where(F.col("action").isin(*IN_FORCE)).join(undone, "decision_id", "left_anti")
    newest = Window.partitionBy("content_hash").orderBy(F.desc("reviewed_at"), F.desc("decision_id"))
    return standing.withColumn("age", F.row_number().over(newest)).where("age = 1").drop("age")


def labelled_by_people(tables: Tables, images: DataFrame) -> DataFrame:
    """Return the images with the label in force, and `label_source`: person, source (labels file or folder) or null.

    An image about which a person has decided that they cannot tell has no label, and the source `person`.
    """
    source = F.when(F.col("label").isNotNull(), FROM_SOURCE)
    if not tables.exists("labels"):
        return images.withColumn("label_source", source)
    decided = decisions_in_force(tables).select("content_hash", F.struct("label").alias("decision"))
    rows = images.join(decided, "content_hash", "left")
    is_decided = F.col("decision").isNotNull()
    label = F.when(is_decided, F.col("decision.label")).otherwise(F.col("label"))
    return rows.select(
        *[label.alias(name) if name == "label" else name for name in images.columns],
        F.when(is_decided, FROM_PERSON).otherwise(source).alias("label_source"),
    )


def effective_images(tables: Tables) -> DataFrame:
    """Return the current images as `latest_images`, with the label in force and `label_source`."""
    return labelled_by_people(tables, tables.latest_images())


def model_chosen(tables: Tables) -> DataFrame:
    """Return content_hash of the images whose group a model chose for review while nobody had labelled it.

    Their groups are trained on and never tested on: a test split that contains what a model found difficult is no
    honest sample. An undo does not change that.
    """
    return tables.read("labels").where("is_model_chosen").select("content_hash").distinct()
