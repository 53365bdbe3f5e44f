"""Draw unlabelled bursts in Spark, and collect what choosing among them needs: at most MAX_CANDIDATES rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.transformers import FLIPPED_COLUMN, predict_probabilities, predict_with_flip
from pipelines.evaluation.burst_vote import MEAN
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.review.suggest import (
    AUDIT_SALT,
    Candidates,
    Criterion,
    Floats,
    most_probable,
    nearest_threshold,
    smallest_margin,
)
from pipelines.spark.arrow import collect_arrow
from pipelines.workspace.features import read_features
from pipelines.workspace.labels import effective_images
from pipelines.workspace.tables import Tables

MAX_CANDIDATES = 20_000


@dataclass(frozen=True)
class Scorer:
    """A model version for choosing: its classes, its policy, the operating points in use, and the class to find."""

    model: PipelineModel
    classes: Sequence[str]
    policy: ReviewPolicy
    thresholds: Mapping[str, float]
    find: str | None = None

    def decisive(self, probability: Column) -> Column:
        """Return the probability by which the image of a burst is chosen that is shown first."""
        labels = [self.find] if self.find in self.classes else list(self.thresholds)
        if not labels:
            return F.array_max(probability)
        return F.array_max(F.array(*[probability[self.classes.index(label)] for label in labels]))


@dataclass(frozen=True)
class Pool:
    """Unlabelled images and bursts: what cannot be suggested, and the number of bursts that can."""

    images: DataFrame  # usable, of unlabelled and of labelled bursts
    bursts: DataFrame
    count: int
    failures: Mapping[str, int]
    without_features: int


@dataclass(frozen=True)
class Drawn:
    """Candidates, the criterion of the model if there is one, and path and content_hash of each deciding image."""

    candidates: Candidates
    criterion: Criterion | None
    images: Sequence[tuple[str, str]]


def unlabelled_bursts(tables: Tables, backbone: str, label_case: str, find: str | None) -> Pool:
    """Return the bursts of which no image has a label in force, and no person has decided about.

    Bursts without a readable image with features of the backbone are left out; images are counted by the reason.
    """
    features = read_features(tables, backbone).select("content_hash", F.col("failure").alias("decoding_failure"))
    features = features.withColumn("has_row", F.lit(True))
    images = effective_images(tables, label_case).join(features, "content_hash", "left")
    images = images.withColumn("failure", F.coalesce("failure", "decoding_failure"))
    usable = F.col("failure").isNull() & F.coalesce("has_row", F.lit(False))
    images = images.withColumn("is_usable", usable).withColumn("is_labelled", F.col("label_source").isNotNull())
    unusable = images.where("not is_usable and not is_labelled").groupBy("failure").count().collect()
    failures = {row["failure"]: row["count"] for row in unusable}
    found = F.col("label") == F.lit(find) if find else F.lit(False)
    groups = images.groupBy("group_id").agg(
        F.max("is_labelled").alias("has_labelled_sibling"), F.max(found).alias("has_found_sibling")
    )
    bursts = images.groupBy("burst_id").agg(
        F.min("group_id").alias("group_id"),
        F.min(F.coalesce("station", F.lit(""))).alias("station"),
        F.max("is_labelled").alias("is_labelled"),
        F.max("is_usable").alias("is_usable"),
    )
    bursts = bursts.where("is_usable and not is_labelled").drop("is_usable", "is_labelled")
    bursts = bursts.join(groups, "group_id").withColumn(
        "has_found_sibling", F.coalesce("has_found_sibling", F.lit(False))
    )
    bursts = tables.materialize(bursts)
    lacking = failures.pop(None, 0)
    return Pool(images.where("is_usable"), bursts, bursts.count(), failures, lacking)


def draw(tables: Tables, pool: Pool, backbone: str, count: int, scorer: Scorer | None) -> Drawn:
    """Return candidates for `count` suggestions: bursts drawn by a hash of their id, those of unlabelled groups first.

    The random audit has a hash of its own, over all unlabelled bursts, so that labelling what the model chooses among
    the candidates does not change what it is a sample of.
    """
    audit = F.sha2(F.concat(F.lit(AUDIT_SALT), "burst_id"), 256)
    by_hash = [F.desc("has_found_sibling"), F.col("has_labelled_sibling"), F.sha2("burst_id", 256)]
    audited = pool.bursts.orderBy("has_labelled_sibling", audit).limit(min(count, MAX_CANDIDATES))
    others = pool.bursts.orderBy(*by_hash).limit(MAX_CANDIDATES - min(count, MAX_CANDIDATES))
    drawn = tables.materialize(audited.unionAll(others).distinct())
    both = scorer is not None and scorer.policy.average_flip
    features = read_features(tables, backbone, flipped=both).drop("failure", "failure_detail", "featurized_at")
    frames = pool.images.select("path", "content_hash", "burst_id").join(
        F.broadcast(drawn.select("burst_id")), "burst_id"
    )
    frames = frames.join(features, "content_hash")
    rows = drawn.join(_aggregate(frames, scorer), "burst_id")
    return _collect(rows, scorer)


def _aggregate(frames: DataFrame, scorer: Scorer | None) -> DataFrame:
    """Return one row per burst: mean features, the deciding image, and with a model the probabilities."""
    features = vector_to_array(Summarizer.mean(array_to_vector(F.col("features"))), "float32").alias("features")
    if scorer is None:
        return frames.groupBy("burst_id").agg(features, F.min(F.struct("path", "content_hash")).alias("image"))
    if scorer.policy.average_flip:
        frames = frames.withColumn(FLIPPED_COLUMN, F.coalesce(FLIPPED_COLUMN, "features"))
        frames = predict_with_flip(scorer.model, frames)
    else:
        frames = predict_probabilities(scorer.model, frames)
    frames = frames.withColumn("decisive", -scorer.decisive(F.col("probability")))
    probability = array_to_vector("probability")
    return frames.groupBy("burst_id").agg(
        features,
        F.min(F.struct("decisive", "path", "content_hash")).alias("image"),
        vector_to_array(Summarizer.mean(probability)).alias("mean"),
        vector_to_array(Summarizer.max(probability)).alias("highest"),
    )


def _collect(rows: DataFrame, scorer: Scorer | None) -> Drawn:
    columns = ["burst_id", "group_id", "station", "has_labelled_sibling", "has_found_sibling"]
    arrays = ["features", *(["mean", "highest"] if scorer else [])]
    selected = rows.select(*columns, "image.path", "image.content_hash", *arrays)
    batches = [batch for batch in collect_arrow(selected) if batch.num_rows]
    values = {name: [value for batch in batches for value in batch[name].to_pylist()] for name in selected.columns[:7]}
    matrices = {
        name: np.concatenate([_matrix(batch[name]) for batch in batches]) if batches else np.zeros((0, 1))
        for name in arrays
    }
    order = sorted(range(len(values["burst_id"])), key=lambda i: sha256(values["burst_id"][i].encode()).hexdigest())
    lists = {name: [column[i] for i in order] for name, column in values.items()}
    probabilities = None if scorer is None else _vote(matrices["mean"], matrices["highest"], scorer.policy)[order]
    candidates = Candidates(
        lists["burst_id"],
        lists["group_id"],
        lists["station"],
        np.array(lists["has_labelled_sibling"], bool),
        np.array(lists["has_found_sibling"], bool),
        matrices["features"][order].astype(np.float32),
        probabilities,
    )
    criterion = None
    if scorer is not None and probabilities is not None:
        criterion = _criterion(probabilities, matrices["highest"][order], scorer)
    return Drawn(candidates, criterion, list(zip(lists["path"], lists["content_hash"], strict=True)))


def _criterion(probabilities: Floats, highest: Floats, scorer: Scorer) -> Criterion | None:
    """Return the criterion of the model; None if it does not know the class to find."""
    if scorer.find is not None:
        return most_probable(highest[:, scorer.classes.index(scorer.find)]) if scorer.find in scorer.classes else None
    if scorer.thresholds:
        by_index = {scorer.classes.index(label): threshold for label, threshold in scorer.thresholds.items()}
        return nearest_threshold(probabilities, by_index)
    return smallest_margin(probabilities)


def _vote(mean: Floats, highest: Floats, policy: ReviewPolicy) -> Floats:
    """Return the probabilities of each burst by the policy's vote; without a vote the mean."""
    weight = MEAN if policy.max_weight is None else policy.max_weight
    mixed = (1 - weight) * mean + weight * highest
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True), np.float64)


def _matrix(column: object) -> Floats:
    """Return an Arrow column of lists of equal length as an array of shape (rows, length)."""
    values = column.flatten().to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    return values.reshape(len(column), -1)  # type: ignore[arg-type, no-any-return]
