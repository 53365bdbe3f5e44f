"""Score: features of current images become rows of the table predictions, with a vote over each burst."""

from __future__ import annotations

from datetime import datetime, timezone

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
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.formatting import pluralize
from pipelines.schemas import backbone_names
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.pending import images_to_score
from pipelines.workspace.tables import ROW_KEY, Tables, count_failures

TOLERANCE = 1e-9  # the threshold is the probability of an image, which Spark may compute a last digit lower
UNREACHABLE = 2.0  # no probability reaches it
ROW_BYTES, CLASS_BYTES = 300, 20  # of a prediction, and of each of its probabilities, before compression
KEYS = ["path", "content_hash", "model_name", "model_version"]


def score(
    images: DataFrame, model: PipelineModel, version: ModelVersion, settings: Score, scored_at: datetime
) -> DataFrame:
    """Give rows of predictions for rows of path, content_hash, burst_id, failure, features: one for one.

    Where the version decides on both views the rows have `flipped` too. The readable frames of a burst vote as its
    decision says; where it says no vote, the burst columns hold the image's own prediction. An image needs review if
    it failed, or if its burst reaches the operating point of a class of interest; where every class is of interest, so
    that none can be dismissed, if its burst's best probability is below `review_threshold`. Where too few groups of a class
    of interest were held out, it needs review if it is taken for that class, or if that probability is below.
    """
    decision = ReviewPolicy.from_json(version.tags.get("decision"))
    classes = F.array(*[F.lit(name) for name in version.classes])
    says = predict_with_flip if decision.average_flip else predict_probabilities
    readable = says(model, images.where("features is not null").drop("failure", "failure_detail"))
    found = images.drop("features", FLIPPED_COLUMN).join(readable.select("path", "probability"), "path", "left")
    if decision.max_weight is None:  # no vote: bursts are not even looked at
        found = found.withColumn("burst_probability", F.col("probability"))
    else:
        bursts = readable.groupBy("burst_id").agg(_vote(decision.max_weight).alias("burst_probability"))
        found = found.join(bursts, "burst_id", "left")
    is_readable = F.col("probability").isNotNull()
    own, vote = F.array_max("probability"), F.array_max("burst_probability")
    burst_prediction = _best(classes, "burst_probability")
    can_dismiss = 0 < len(decision.classes_of_interest) < len(version.classes)
    is_open = (
        _is_sought(decision, version, settings, burst_prediction) if can_dismiss else vote < settings.review_threshold
    )
    return found.select(
        "path",
        "content_hash",
        _best(classes, "probability").alias("prediction"),
        own.alias("score"),
        F.when(is_readable, F.map_from_arrays(classes, F.col("probability"))).alias("probabilities"),
        "burst_id",
        F.when(is_readable, burst_prediction).alias("burst_prediction"),
        F.when(is_readable, vote).alias("burst_score"),
        (~is_readable | is_open).alias("needs_review"),
        F.lit(version.name).alias("model_name"),
        F.lit(version.version).alias("model_version"),
        F.lit(version.tags["backbone"]).alias("backbone"),
        "failure",
        F.lit(scored_at).alias("scored_at"),
    )


def _is_sought(decision: ReviewPolicy, version: ModelVersion, settings: Score, burst_prediction: Column) -> Column:
    """Say whether a burst reaches the operating point of a class of interest.

    Where one has none that can be trusted, whatever is taken for it needs review, and whatever the model is unsure of.
    """
    thresholds = decision.thresholds(settings.recall_unit, settings.target_recall)
    # One array, not a condition for each class: Spark's planning of a thousand of those takes minutes.
    least = F.array(*[F.lit(thresholds.get(label, UNREACHABLE) - TOLERANCE) for label in version.classes])
    reached = F.exists(F.zip_with("burst_probability", least, lambda found, wanted: found >= wanted), lambda each: each)
    lacking = decision.classes_without_threshold(settings.recall_unit, settings.target_recall)
    if not lacking:
        return reached
    return reached | burst_prediction.isin(lacking) | (F.array_max("burst_probability") < settings.review_threshold)


def _vote(weight: float) -> Column:
    """Give a burst's probabilities from those of its frames: the same numbers as `evaluation.vote.vote`."""
    frames = array_to_vector("probability")
    mean, highest = vector_to_array(Summarizer.mean(frames)), vector_to_array(Summarizer.max(frames))
    mixed = F.zip_with(mean, highest, lambda low, high: (1 - weight) * low + weight * high) if weight else mean
    return normalize_array(mixed)


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Score the current images that the chosen model version has not seen as they are now."""
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    version = tracking.get_version(settings.score.model_version)
    pin_table(tables, settings, "predictions")
    _drop_removed(tables)
    state = images_to_score(tables, version.name, version.version, version.created).cache()
    if not state.where("is_new").head(1):
        state.unpersist()
        return StageResult("score", seconds=clock.seconds, outcome=f"with {version}")
    waiting = _waiting(state, tables, version).cache()
    total, replaced = waiting.agg(F.count("*"), F.count(F.when(F.col("is_replaced"), 1))).first()
    _require_features(waiting, tables, version)
    written = total * (ROW_BYTES + CLASS_BYTES * len(version.classes))
    written += tables.bytes_on_disk("predictions") if replaced else 0  # which an upsert may write anew
    require_free_space(tables, written, f"The commit of score ({pluralize(total, 'image')})")
    now = datetime.now(timezone.utc)
    rows = score(waiting.drop("is_replaced"), load_model(tracking, version), version, settings.score, now)
    if replaced:
        tables.upsert("predictions", rows, KEYS)
    else:
        tables.append("predictions", rows)
    failures = count_failures(tables.read("predictions").where(F.col("scored_at") == F.lit(now)))
    waiting.unpersist(), state.unpersist()
    notes = [] if not replaced else [f"{replaced:,} predictions were made anew: their bursts got or lost frames."]
    return StageResult(
        "score", total, total - sum(failures.values()), failures, clock.seconds, tuple(notes), f"with {version}"
    )


def _drop_removed(tables: Tables) -> None:
    """Delete the predictions for images that are gone from their source."""
    removed = tables.read("images").where("removed_at is not null").select(*ROW_KEY)
    if not tables.exists("predictions") or not removed.head(1):
        return
    current = tables.latest_images(tables.materialize(removed), with_removed=True).where("removed_at is not null")
    paths = tables.materialize(tables.read("predictions").select("path").join(current, "path", "left_semi"))
    if paths.head(1):
        tables.delete_matching("predictions", paths)


def _waiting(state: DataFrame, tables: Tables, version: ModelVersion) -> DataFrame:
    """Give the images to score with their features; is_replaced where a prediction is made anew.

    A burst votes as a whole: when one frame is new to it, or left it, all its frames are scored again.
    """
    fresh = state.where("is_new")
    touched = fresh.select("burst_id").unionAll(fresh.select(F.explode("old_bursts"))).distinct()
    waiting = state.join(touched, "burst_id", "left_semi").withColumn("is_replaced", F.size("old_bursts") > 0)
    both_views = ReviewPolicy.from_json(version.tags.get("decision")).average_flip
    features = read_features(tables, version.tags["backbone"], flipped=both_views)
    if both_views:  # one without the other is of no use to this version
        features = features.withColumn("features", F.when(F.col(FLIPPED_COLUMN).isNotNull(), F.col("features")))
    features = features.drop("failure_detail", "featurized_at").withColumnRenamed("failure", "decoding_failure")
    rows = waiting.select("path", "content_hash", "burst_id", "failure", "is_replaced")
    rows = rows.join(features, "content_hash", "left")
    return rows.withColumn("failure", F.coalesce("failure", "decoding_failure")).drop("decoding_failure")


def _require_features(waiting: DataFrame, tables: Tables, version: ModelVersion) -> None:
    """Raise where readable images lack the features that the model was trained on."""
    lacking = waiting.where("features is null and failure is null")
    count = lacking.count()
    if not count:
        return
    wanted = version.tags["backbone"]
    others = tables.read("features").join(lacking.select("content_hash"), "content_hash", "left_semi")
    held = sorted(row["backbone"] for row in others.select("backbone").distinct().collect())
    if held and wanted not in held:
        raise ModelError(_other_backbone(version, f"table features holds {', '.join(held)} for {count:,} images"))
    raise DataError(
        f"{count:,} images have no features of {wanted}, which model {version} needs. "
        f"Run `irbis featurize --backbone {backbone_names(wanted)}{_flip_option(version)}` first."
    )


def require_backbone(settings: Settings) -> None:
    """Raise ModelError if images featurized with these settings could not be scored by the chosen version."""
    version = Tracking.of(settings).get_version(settings.score.model_version)
    mine = feature_id(settings)
    if mine != version.tags["backbone"]:
        raise ModelError(_other_backbone(version, f"the settings say {mine}"))
    if _flip_option(version) and not settings.featurize.horizontal_flip:
        raise ModelError(
            f"Model {version} looks at flipped images too, and featurize.horizontal_flip is false. Add{_flip_option(version)}."
        )


def _flip_option(version: ModelVersion) -> str:
    return (
        " --set featurize.horizontal_flip=true"
        if ReviewPolicy.from_json(version.tags.get("decision")).average_flip
        else ""
    )


def _other_backbone(version: ModelVersion, found: str) -> str:
    wanted = version.tags["backbone"]
    name = backbone_names(wanted)
    return (
        f"Model {version} was trained on features of {wanted}; {found}. Featurize with {name} "
        f"(--backbone {name}, the same weights and images settings), or choose another version "
        "(--set score.model_version=N)."
    )


def _best(classes: Column, probability: str) -> Column:
    """Give the most probable class, the first of equals."""
    place = F.expr(f"array_position({probability}, array_max({probability}))")  # F's form takes no column to look for
    return F.when(F.col(probability).isNotNull(), F.element_at(classes, place.cast("int")))
