"""Turn imported labels into decisions, and compare them with the labels in force. All rows stay in Spark."""

from __future__ import annotations

import uuid
from datetime import datetime

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.exchange.rows import read_predictions
from pipelines.schemas import LABELS, parse_ddl
from pipelines.workspace.labels import FROM_PERSON, labelled_by_people
from pipelines.workspace.tables import Tables

ROWS = "relative_path string, label string, reviewer string, reviewed_at string, comment string, is_machine boolean"
NAMESPACE = uuid.UUID("3f0d3c4e-6f0e-5a4b-9d53-1b7b0d6a5c11")  # of decision ids; never change it
REVIEWER = "import"  # where the file names none

NEW = "new"
SAME = "same as before"
OVER_SOURCE = "replacing that of the labels file or folder"
OVER_PERSON = "replacing a person's decision"
OLDER = "older than a person's decision, which stays in force"
IMPORTED = "imported before and replaced since"
CONFLICT = "of identical images with different labels"
NOT_FETCHED = "of images that were never fetched"
LABELLED = "of a model, for images that have a label"
STORED = (NEW, OVER_SOURCE, OVER_PERSON, OLDER)
LEFT_OUT = (CONFLICT, NOT_FETCHED, LABELLED)


def plan_decisions(
    tables: Tables, settings: Settings, labels: pd.DataFrame, root: str, source: str, session: str, now: datetime
) -> DataFrame:
    """Return the columns of the table labels, relative_path, and `outcome`: what storing the decision changes.

    `labels`: one row of ROWS for each image, which exists; label null: a person cannot tell; reviewed_at: ISO 8601 in
    UTC, null: `now`. The id of a decision follows from the file, so that a file is imported once.
    """
    given = tables.spark.createDataFrame(labels, ROWS).withColumnRenamed("reviewed_at", "time_text")
    given = given.withColumnRenamed("label", "given").withColumnRenamed("comment", "given_comment")
    given = given.select("*", F.concat(F.lit(root), "relative_path").alias("path"), F.col("reviewer").alias("by"))
    case = settings.sources.label_case
    images = labelled_by_people(tables, tables.latest_images(), case, ("reviewer", "reviewed_at"))
    images = images.withColumnRenamed("label", "previous_label").withColumnRenamed("reviewed_at", "previous_at")
    images = images.withColumnRenamed("reviewer", "previous_by")
    predictions, _ = read_predictions(tables, settings)
    rows = given.drop("reviewer").join(images, "path").join(predictions, ["path", "content_hash"], "left")
    rows = rows.withColumn("decision_id", _decision_id(source)).join(_known_ids(tables), "decision_id", "left")
    reviewer, time = F.coalesce("by", F.lit(REVIEWER)), F.least(F.col("time_text").cast("timestamp"), F.lit(now))
    # Whoever changes the label of an exported row leaves the time and the name of the former decision beside it.
    is_edited = _is_same_decision(reviewer, time) & ~_is_same_label(case)
    rows = rows.withColumn("reviewed_at", F.coalesce(F.when(~is_edited, time), F.lit(now)))
    rows = rows.withColumn("outcome", _outcome(case))
    predicted, given_label = F.col("predicted.prediction"), F.col("given")
    agreed = given_label.eqNullSafe(predicted) | given_label.eqNullSafe(F.col("previous_label"))
    action = F.when(given_label.isNull(), "unknown").when(agreed, "confirm").otherwise("correct")
    values = {
        "label": given_label,
        "action": action,
        "scope": F.lit("image"),
        "predicted": predicted,
        "score": F.col("predicted.score"),
        "model_version": F.col("predicted.model_version"),
        "queue": F.lit("import"),
        "is_model_chosen": F.lit(False),
        "reviewer": reviewer,
        "session": F.lit(session),
        "source": F.lit(source),
        "comment": F.col("given_comment"),
    } | {name: F.lit(None) for name in ("undoes", "seconds")}
    columns = [values.get(name, F.col(name)).cast(kind).alias(name) for name, kind in parse_ddl(LABELS).items()]
    return rows.select(*columns, "relative_path", "outcome")


def decision_rows(planned: DataFrame) -> DataFrame:
    """Return the rows to store, one for each decision_id: several files may have the same content."""
    return planned.where(F.col("outcome").isin(*STORED)).dropDuplicates(["decision_id"]).select(*parse_ddl(LABELS))


def _known_ids(tables: Tables) -> DataFrame:
    return tables.read("labels").select("decision_id", F.lit(True).alias("is_known"))


def _decision_id(source: str) -> Column:
    """Return the UUID, version 5, of source, content, label, reviewer and time as in the file."""
    parts = [F.lit(source), *[F.coalesce(F.col(name), F.lit("")) for name in ("content_hash", "given", "by")]]
    name = F.concat_ws("\n", *parts, F.coalesce("time_text", F.lit("")))
    digest = F.sha1(F.concat(F.unhex(F.lit(NAMESPACE.hex)), F.encode(name, "utf-8")))
    variant = F.translate(F.substring(digest, 17, 1), "0123456789abcdef", "89ab89ab89ab89ab")
    return F.concat(
        F.substring(digest, 1, 8),
        F.lit("-"),
        F.substring(digest, 9, 4),
        F.lit("-5"),
        F.substring(digest, 14, 3),
        F.lit("-"),
        variant,
        F.substring(digest, 18, 3),
        F.lit("-"),
        F.substring(digest, 21, 12),
    )


def _is_same_label(case: str) -> Column:
    given = F.lower("given") if case == "lower" else F.col("given")
    is_decided = F.col("previous_label").isNotNull() | F.coalesce(F.col("label_source") == FROM_PERSON, F.lit(False))
    return is_decided & given.eqNullSafe(F.col("previous_label"))


def _is_same_decision(reviewer: Column, time: Column) -> Column:
    """Return whether the row has reviewer and time, in seconds, of the decision in force."""
    same_time = F.date_trunc("second", time) == F.date_trunc("second", "previous_at")
    return F.coalesce((F.col("previous_by") == reviewer) & same_time, F.lit(False))


def _outcome(case: str) -> Column:
    contents = Window.partitionBy("content_hash")
    labels = F.size(F.collect_set(F.coalesce("given", F.lit(""))).over(contents))
    is_decided = F.coalesce(F.col("label_source") == FROM_PERSON, F.lit(False))
    return (
        F.when(F.col("content_hash").isNull(), NOT_FETCHED)
        .when(labels > 1, CONFLICT)
        .when(_is_same_label(case), SAME)
        .when(F.col("is_machine") & F.col("label_source").isNotNull(), LABELLED)
        .when(F.col("is_known"), IMPORTED)
        .when(F.col("label_source").isNull(), NEW)
        .when(~is_decided, OVER_SOURCE)
        .when(F.col("reviewed_at") < F.col("previous_at"), OLDER)
        .otherwise(OVER_PERSON)
    )
