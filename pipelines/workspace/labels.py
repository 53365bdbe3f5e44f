"""Decisions of people about images: append them, and find the label in force of each image.

A person's decision comes before the label of the labels file or folder. It belongs to the content, not to the path, so
that moved and renamed files keep it. Decisions are only ever added: an undo is a decision too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.errors import DataError
from pipelines.label_text import canonical_text
from pipelines.schemas import Decision
from pipelines.workspace.commits import CONFLICTS
from pipelines.workspace.lock import wait_for_lock
from pipelines.workspace.tables import Tables

WITH_LABEL = ("confirm", "correct")
IN_FORCE = (*WITH_LABEL, "unknown")  # actions that decide the label
ACTIONS = (*IN_FORCE, "skip", "undo")
FROM_PERSON, FROM_SOURCE = "person", "source"  # values of label_source
ATTEMPTS = 5  # to commit, while others commit too


def find_fault(decision: Decision) -> str:
    """Return why a decision cannot be stored, or an empty text."""
    for name in ("decision_id", "content_hash", "path", "reviewed_at"):
        if not getattr(decision, name):
            return f"{name} is missing"
    if decision.reviewed_at and decision.reviewed_at.tzinfo is None:
        return f"reviewed_at = {decision.reviewed_at} has no time zone"
    if decision.action not in ACTIONS:
        return f"action = {decision.action} is none of {', '.join(ACTIONS)}"
    if (decision.action in WITH_LABEL) != bool(canonical_text(decision.label)):
        return f"action = {decision.action} with label = {decision.label}"
    if (decision.action == "undo") != bool(decision.undoes):
        return f"action = {decision.action} with undoes = {decision.undoes}"
    return ""


def append_decisions(tables: Tables, decisions: Sequence[Decision]) -> int:
    """Add decisions to the table labels, in one commit, and return their number.

    Those whose id the table has already are not added again. Raises DataError, and adds none, if one cannot be stored.
    Several processes may append at the same time.
    """
    if faults := [f"Decision {each.decision_id}: {fault}." for each in decisions if (fault := find_fault(each))]:
        raise DataError(faults)
    unique = {each.decision_id: each._replace(label=canonical_text(each.label)) for each in decisions}
    with wait_for_lock(tables.workspace, "review"):
        for attempt in range(1, ATTEMPTS + 1):
            new = _leave_out_known(tables, unique)
            if not new:
                return 0
            try:
                tables.insert_missing("labels", _to_frame(tables, new), "decision_id")
                return len(new)
            except CONFLICTS:
                if attempt == ATTEMPTS:
                    raise
    return 0


def _leave_out_known(tables: Tables, decisions: Mapping[str, Decision]) -> list[Decision]:
    """Return the decisions whose id is not in the table."""
    if not tables.exists("labels"):
        return list(decisions.values())
    ids = tables.spark.createDataFrame([(key,) for key in decisions], "decision_id string")
    found = tables.read("labels").select("decision_id").join(F.broadcast(ids), "decision_id", "left_semi").collect()
    known = {row["decision_id"] for row in found}
    return [decision for key, decision in decisions.items() if key not in known]


def _to_frame(tables: Tables, decisions: Sequence[Decision]) -> DataFrame:
    columns = schemas.parse_ddl(schemas.LABELS).items()
    return tables.spark.createDataFrame(list(decisions), ", ".join(f"{name} {kind}" for name, kind in columns))


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
