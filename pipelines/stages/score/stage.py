"""Score: predict the current images from their features, with a burst vote, and append to the table predictions."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial

from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.classifiers.predict import load_model
from pipelines.classifiers.transformers import FLIPPED_COLUMN, normalize_array, predict_probabilities, predict_with_flip
from pipelines.config.settings import Score, Settings
from pipelines.errors import DataError, ModelError
from pipelines.evaluation.needs_review import TOLERANCE, UNREACHABLE
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.feature_ids import backbone_names, featurize_options
from pipelines.formatting import pluralize
from pipelines.spark.queries import run_together
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.pending import images_to_score
from pipelines.workspace.tables import ROW_KEY, Tables, count_failures

ROW_BYTES, CLASS_BYTES = 300, 20  # of a prediction, and of each of its probabilities, before compression
KEYS = ["path", "content_hash", "model_name", "model_version"]


def score(
    images: DataFrame, model: PipelineModel, version: ModelVersion, settings: Score, scored_at: datetime
) -> DataFrame:
    """Return one row of predictions for each row of path, content_hash, burst_id, failure, features.

    If the version averages both views, the rows have `flipped` too. The readable frames of a burst vote by the policy
    of the version; without a vote, the burst columns hold the image's own prediction. An image needs review if it
    failed, or if its burst reaches the operating point of a class of interest. If all classes are of interest, it needs
    review if its burst's highest probability is below `review_threshold`. For a class of interest without a reliable
    operating point, it needs review if the burst is predicted as that class, or is below `review_threshold`.
    """
    policy = ReviewPolicy.from_json(version.tags.get("review_policy"))
    classes = F.array(*[F.lit(name) for name in version.classes])
    predict = predict_with_flip if policy.average_flip else predict_probabilities
    readable = predict(model, images.where("features is not null").drop("failure", "failure_detail"))
    rows = images.drop("features", FLIPPED_COLUMN).join(readable.select("path", "probability"), "path", "left")
    if policy.max_weight is None:  # no vote
        rows = rows.withColumn("burst_probability", F.col("probability"))
    else:
        bursts = readable.groupBy("burst_id").agg(_aggregate_burst(policy.max_weight).alias("burst_probability"))
        rows = rows.join(bursts, "burst_id", "left")
    is_readable = F.col("probability").isNotNull()
    own, vote = F.array_max("probability"), F.array_max("burst_probability")
    burst_prediction = _most_probable(classes, "burst_probability")
    can_dismiss = 0 < len(policy.classes_of_interest) < len(version.classes)
    if can_dismiss:
        needs_review = _reaches_threshold(policy, version, settings, burst_prediction)
    else:
        needs_review = vote < settings.review_threshold
    return rows.select(
        "path",
        "content_hash",
        _most_probable(classes, "probability").alias("prediction"),
        own.alias("score"),
        F.when(is_readable, F.map_from_arrays(classes, F.col("probability"))).alias("probabilities"),
        "burst_id",
        F.when(is_readable, burst_prediction).alias("burst_prediction"),
        F.when(is_readable, vote).alias("burst_score"),
        (~is_readable | needs_review).alias("needs_review"),
        F.lit(version.name).alias("model_name"),
        F.lit(version.version).alias("model_version"),
        F.lit(version.tags["backbone"]).alias("backbone"),
        "failure",
        F.lit(scored_at).alias("scored_at"),
        F.lit(settings.review_rule).alias("review_rule"),
    )


def _reaches_threshold(
    policy: ReviewPolicy, version: ModelVersion, settings: Score, burst_prediction: Column
) -> Column:
    """Return whether a burst reaches the operating point of a class of interest.

    If a class has no reliable operating point, bursts predicted as that class need review, and so do uncertain bursts.
    """
    thresholds = policy.thresholds(settings.recall_unit, settings.target_recall)
    # One array, not a condition for each class: Spark takes minutes to plan a thousand conditions.
    thresholds_by_class = F.array(*[F.lit(thresholds.get(label, UNREACHABLE) - TOLERANCE) for label in version.classes])
    is_above = F.zip_with("burst_probability", thresholds_by_class, lambda value, threshold: value >= threshold)
    reached = F.exists(is_above, lambda value: value)
    lacking = policy.classes_without_threshold(settings.recall_unit, settings.target_recall)
    if not lacking:
        return reached
    return reached | burst_prediction.isin(lacking) | (F.array_max("burst_probability") < settings.review_threshold)


def _aggregate_burst(weight: float) -> Column:
    """Return a burst's probabilities from those of its frames, equal to `burst_vote.aggregate_burst`."""
    frames = array_to_vector("probability")
    mean, highest = vector_to_array(Summarizer.mean(frames)), vector_to_array(Summarizer.max(frames))
    mixed = F.zip_with(mean, highest, lambda low, high: (1 - weight) * low + weight * high) if weight else mean
    return normalize_array(mixed)


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Score current images without a prediction by the model version and the settings, and bursts that have changed."""
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    version = tracking.get_version(settings.score.model_version)
    pin_table(tables, settings, "predictions")
    _delete_removed(tables)
    state = images_to_score(tables, version.name, version.version, version.created, settings.score.review_rule).cache()
    if not state.where("is_new").head(1):
        state.unpersist()
        return StageResult("score", seconds=clock.seconds, outcome=f"with {version}")
    pending = _pending_images(state, tables, version).cache()
    (total, replaced), _, model = run_together(
        pending.agg(F.count("*"), F.count(F.when(F.col("is_replaced"), 1))).first,
        partial(_require_features, pending, tables, version),
        partial(load_model, tracking, version),
    )
    written = total * (ROW_BYTES + CLASS_BYTES * len(version.classes))
    written += tables.bytes_on_disk("predictions") if replaced else 0  # an upsert may rewrite all
    require_free_space(tables, written, f"The commit of score ({pluralize(total, 'image')})")
    now = datetime.now(timezone.utc)
    rows = score(pending.drop("is_replaced"), model, version, settings.score, now)
    if replaced:
        tables.upsert("predictions", rows, KEYS)
    else:
        tables.append("predictions", rows)
    failures = count_failures(tables.read("predictions").where(F.col("scored_at") == F.lit(now)))
    pending.unpersist(), state.unpersist()
    notes = _replacement_notes(replaced)
    return StageResult(
        "score", total, total - sum(failures.values()), failures, clock.seconds, tuple(notes), f"with {version}"
    )


def _replacement_notes(replaced: int) -> list[str]:
    if not replaced:
        return []
    reasons = "their bursts gained or lost frames, or the settings of needs_review changed"
    return [f"{pluralize(replaced, 'prediction')} replaced: {reasons}."]


def _delete_removed(tables: Tables) -> None:
    """Delete the predictions for images that were removed from their source."""
    removed = tables.read("images").where("removed_at is not null").select(*ROW_KEY)
    if not tables.exists("predictions") or not removed.head(1):
        return
    current = tables.latest_images(tables.materialize(removed), with_removed=True).where("removed_at is not null")
    paths = tables.materialize(tables.read("predictions").select("path").join(current, "path", "left_semi"))
    if paths.head(1):
        tables.delete_matching("predictions", paths)


def _pending_images(state: DataFrame, tables: Tables, version: ModelVersion) -> DataFrame:
    """Return the images to score with their features, and is_replaced where a prediction is replaced.

    A burst votes as a whole: if it gained or lost a frame, all its frames are scored again.
    """
    new = state.where("is_new")
    changed = new.select("burst_id").unionAll(new.select(F.explode("old_bursts"))).distinct()
    pending = state.join(changed, "burst_id", "left_semi").withColumn("is_replaced", F.size("old_bursts") > 0)
    average_flip = ReviewPolicy.from_json(version.tags.get("review_policy")).average_flip
    features = read_features(tables, version.tags["backbone"], flipped=average_flip)
    if average_flip:  # this version needs both
        features = features.withColumn("features", F.when(F.col(FLIPPED_COLUMN).isNotNull(), F.col("features")))
    features = features.drop("failure_detail", "featurized_at").withColumnRenamed("failure", "decoding_failure")
    rows = pending.select("path", "content_hash", "burst_id", "failure", "is_replaced")
    rows = rows.join(features, "content_hash", "left")
    return rows.withColumn("failure", F.coalesce("failure", "decoding_failure")).drop("decoding_failure")


def _require_features(pending: DataFrame, tables: Tables, version: ModelVersion) -> None:
    """Raise an error if readable images lack the features that the model was trained on."""
    lacking = pending.where("features is null and failure is null")
    count = lacking.count()
    if not count:
        return
    required = version.tags["backbone"]
    others = tables.read("features").join(lacking.select("content_hash"), "content_hash", "left_semi")
    available = sorted(row["backbone"] for row in others.select("backbone").distinct().collect())
    if available and required not in available:
        raise ModelError(
            _backbone_mismatch(version, f"table features holds {', '.join(available)} for {count:,} images")
        )
    raise DataError(
        f"{count:,} images have no features of {required}, which model {version} needs. "
        f"Run `irbis featurize {featurize_options(required)}{_flip_option(version)}` first."
    )


def require_backbone(settings: Settings) -> None:
    """Raise ModelError if the model version cannot score features of these settings."""
    version = Tracking.of(settings).get_version(settings.score.model_version)
    configured = feature_id(settings)
    if configured != version.tags["backbone"]:
        raise ModelError(_backbone_mismatch(version, f"the settings say {configured}"))
    if _flip_option(version) and not settings.featurize.horizontal_flip:
        raise ModelError(
            f"Model {version} also uses flipped images, but featurize.horizontal_flip is false. "
            f"Add{_flip_option(version)}."
        )


def _flip_option(version: ModelVersion) -> str:
    average_flip = ReviewPolicy.from_json(version.tags.get("review_policy")).average_flip
    return " --set featurize.horizontal_flip=true" if average_flip else ""


def _backbone_mismatch(version: ModelVersion, problem: str) -> str:
    required = version.tags["backbone"]
    name, options = backbone_names(required), featurize_options(required)
    return (
        f"Model {version} was trained on features of {required}; {problem}. Featurize with {name} "
        f"({options}, the same weights and images settings), or choose another version "
        "(--set score.model_version=N)."
    )


def _most_probable(classes: Column, probability: str) -> Column:
    """Return the most probable class, the first of equals."""
    position = F.expr(f"array_position({probability}, array_max({probability}))")  # F.array_position takes no column
    return F.when(F.col(probability).isNotNull(), F.element_at(classes, position.cast("int")))
