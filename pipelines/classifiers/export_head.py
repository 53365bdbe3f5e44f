"""Extract the head of a served model, as arrays, from a classifier's Spark pipeline."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegressionModel, RandomForestClassificationModel
from pyspark.ml.feature import PCAModel, StandardScalerModel
from pyspark.sql import Row, SparkSession

from pipelines.classifiers.linear_head import read_logits, read_scaling
from pipelines.classifiers.transformers import ArrayToVector, TemperatureScaling
from pipelines.errors import ModelError
from pipelines.serving.forest import LEAF, Forest
from pipelines.serving.head import Boosting, Classifier, Head, Linear, Projection


def export_head(model: PipelineModel, scratch: str) -> Head:
    """Return the head that predicts as a pipeline does.

    `scratch` is a folder that Spark's file system can reach, for the nodes of a forest. Raises ModelError for a stage
    that irbis does not use.
    """
    classifier: Classifier | None = None
    scaling, projection, temperature = None, None, 1.0
    for stage in model.stages:
        if isinstance(stage, StandardScalerModel):
            scaling = read_scaling(stage)
        elif isinstance(stage, PCAModel) and scaling:
            projection = Projection(*scaling, np.asarray(stage.pc.toArray()))
        elif isinstance(stage, TemperatureScaling):
            temperature = stage.getOrDefault(stage.temperature)
        elif not isinstance(stage, ArrayToVector):
            classifier = _read_classifier(stage, scratch)
    if classifier is None:
        raise ModelError("The pipeline has no classifier.")
    return Head(classifier, projection, temperature)


def _read_classifier(stage: Transformer, scratch: str) -> Classifier:
    if isinstance(stage, LogisticRegressionModel):
        logits = read_logits(stage)
        return Linear(logits.coefficients, logits.intercepts)
    if isinstance(stage, RandomForestClassificationModel):
        return _read_forest(stage, scratch)
    if type(stage).__name__ == "LightGBMClassificationModel":
        return Boosting(stage.getNativeModel())  # type: ignore[attr-defined]
    raise ModelError(f"A served model cannot have a stage {type(stage).__name__}.")


def _read_forest(model: RandomForestClassificationModel, scratch: str) -> Forest:
    """Read the nodes as Spark saves them: over Py4J, a thousand nodes would take seconds."""
    spark, path = SparkSession.builder.getOrCreate(), f"{scratch.rstrip('/')}/forest-{uuid.uuid4().hex}"
    try:
        model.save(path)
        rows = spark.read.parquet(f"{path}/data").select("treeID", "nodeData.*").orderBy("treeID", "id").collect()
    finally:
        _delete(spark, path)
    return forest_from_rows(rows)


def forest_from_rows(rows: list[Row]) -> Forest:
    """Return a forest from its nodes, ordered by tree and id: a tree's ids count up from 0, parents first."""
    starts = [i for i, row in enumerate(rows) if row["id"] == 0]
    offsets = np.repeat(starts, np.diff([*starts, len(rows)]))
    is_leaf = np.array([row["leftChild"] < 0 for row in rows])
    leaf_number = np.cumsum(is_leaf) - 1
    counts = np.array([row["impurityStats"] for row, leaf in zip(rows, is_leaf, strict=True) if leaf], np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    return Forest(
        feature=np.array([LEAF if row["leftChild"] < 0 else row["split"]["featureIndex"] for row in rows], np.int32),
        threshold=np.array([_threshold(row) for row in rows], np.float64),
        left=np.where(is_leaf, leaf_number, offsets + [row["leftChild"] for row in rows]).astype(np.int32),
        right=np.where(is_leaf, 0, offsets + [row["rightChild"] for row in rows]).astype(np.int32),
        distributions=np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0),
        roots=np.array(starts, np.int32),
    )


def _threshold(row: Row) -> float:
    """Return the threshold of a split of a continuous feature, the only kind that features have; 0 for a leaf."""
    return float(row["split"]["leftCategoriesOrThreshold"][0]) if row["leftChild"] >= 0 else 0.0


def _delete(spark: SparkSession, path: str) -> None:
    jvm: Any = spark._jvm
    target = jvm.org.apache.hadoop.fs.Path(path)
    target.getFileSystem(spark._jsc.hadoopConfiguration()).delete(target, True)
