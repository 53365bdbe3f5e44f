"""Decisions of people about images: append them, and find the label in force of each image.

A person's decision comes before the label of the labels file or folder. It belongs to the content, not to the path, so
that moved and renamed files keep it. Decisions are only ever added: an undo is a decision too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import AnalysisException

from pipelines import schemas
from pipelines.config.settings import Train
from pipelines.errors import DataError
from pipelines.evaluation.split import assign_split
from pipelines.label_text import canonical_text
from pipelines.schemas import Decision
from pipelines.workspace.commits import CONFLICTS
from pipelines.workspace.decisions import IN_FORCE, find_fault
from pipelines.workspace.lock import wait_for_lock
from pipelines.workspace.tables import Tables

FROM_PERSON, FROM_SOURCE = "person", "source"  # values of label_source
ATTEMPTS = 5  # to commit, while others commit too


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


def insert_decisions(tables: Tables, decisions: DataFrame) -> None:
    """Add rows of the table labels whose decision_id it does not have, in one commit.

    The rows must be independent of the table, as after `tables.materialize`, and valid: see `find_fault`.
    """
    with wait_for_lock(tables.workspace, "review"):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return tables.insert_missing("labels", decisions, "decision_id")
            except CONFLICTS:
                if attempt == ATTEMPTS:
                    raise


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


def labelled_by_people(
    tables: Tables, images: DataFrame, label_case: str = "keep", details: Sequence[str] = ()
) -> DataFrame:
    """Return the images with the label in force, and `label_source`: person, source (labels file or folder) or null.

    An image about which a person has decided that they cannot tell has no label, and the source `person`.
    `label_case` is the setting sources.label_case, which ingest has applied to the labels of the source. `details` are
    further columns of the decision in force.
    """
    source = F.when(F.col("label").isNotNull(), FROM_SOURCE)
    if not tables.exists("labels"):
        kinds = schemas.parse_ddl(schemas.LABELS)
        nulls = [F.lit(None).cast(kinds[name]).alias(name) for name in details]
        return images.select("*", source.alias("label_source"), *nulls)
    decided = decisions_in_force(tables).select("content_hash", F.struct("label", *details).alias("decision"))
    rows = images.join(decided, "content_hash", "left")
    is_decided = F.col("decision").isNotNull()
    label_of_person = F.lower("decision.label") if label_case == "lower" else F.col("decision.label")
    label = F.when(is_decided, label_of_person).otherwise(F.col("label"))
    return rows.select(
        *[label.alias(name) if name == "label" else name for name in images.columns],
        F.when(is_decided, FROM_PERSON).otherwise(source).alias("label_source"),
        *[F.col(f"decision.{name}").alias(name) for name in details],
    )


def effective_images(tables: Tables, label_case: str = "keep") -> DataFrame:
    """Return the current images as `latest_images`, with the label in force and `label_source`."""
    return labelled_by_people(tables, tables.latest_images(), label_case)


def decisions_since(tables: Tables, version: int | None, moment: datetime) -> DataFrame:
    """Return the decisions that a version of the table labels does not have; all of them if `version` is null.

    Where Delta's log does not reach back to the version, they are those that were made after `moment`.
    """
    decisions = tables.read("labels")
    if version is None:
        return decisions
    sql = f"SELECT decision_id FROM {tables.sql_name('labels')} VERSION AS OF {version}"
    try:
        known = tables.spark.sql(sql)
    except (AnalysisException, Py4JJavaError):
        return decisions.where(F.col("reviewed_at") > F.lit(moment))
    return decisions.join(known, "decision_id", "left_anti")


def model_chosen_groups(tables: Tables) -> DataFrame:
    """Return group_id of the groups that a model chose for review while none of their images had a label.

    These are the groups of the decisions, and those that their contents are in today: groups change when images are
    added. An undo does not change the result.
    """
    chosen = tables.read("labels").where("is_model_chosen")
    contents = chosen.select("content_hash").distinct()
    current = tables.latest_images(with_removed=True).join(contents, "content_hash", "left_semi")
    groups = current.select("group_id").union(chosen.select("group_id"))
    return groups.where("group_id is not null").distinct()


def with_split(tables: Tables, images: DataFrame, settings: Train) -> DataFrame:
    """Return the images with `split` and `is_model_chosen`.

    A group that a model chose for review is in train if its hash says test: a test split with images that were chosen
    because a model found them difficult is no honest sample.
    """
    chosen = model_chosen_groups(tables).withColumn("chosen", F.lit(True))
    split = assign_split(F.col("group_id"), settings.fractions, settings.split_salt)
    rows = images.join(chosen, "group_id", "left")
    return rows.select(
        *images.columns,
        F.when(F.col("chosen") & (split == "test"), "train").otherwise(split).alias("split"),
        F.coalesce("chosen", F.lit(False)).alias("is_model_chosen"),
    )
