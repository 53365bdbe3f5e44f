"""Stages of the classifier: a Spark ML pipeline from array<float> to a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol, HasProbabilityCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

ROWS_PER_TASK = 5_000
FLIPPED_COLUMN = "flipped"  # the column of features of the flipped image
UNKNOWN_WEIGHT = 1e-9  # factor on the weight of a row with an unknown label: a fold of only such rows still has a loss
MIN_PROBABILITY = 2.220446049250313e-16  # the epsilon of a double; smaller probabilities are raised to it


class ArrayToVector(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Convert a column of array<float> to Spark ML vectors, inside a pipeline that is saved and loaded."""

    def __init__(self, inputCol: str | None = None, outputCol: str | None = None):
        super().__init__()
        if inputCol is not None and outputCol is not None:
            self._set(inputCol=inputCol, outputCol=outputCol)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.withColumn(self.getOutputCol(), array_to_vector(F.col(self.getInputCol()).cast("array<double>")))


VECTOR = ArrayToVector("features", "vector")


class TemperatureScaling(Transformer, HasProbabilityCol, DefaultParamsReadable, DefaultParamsWritable):
    """Divide the logits of a classifier's probabilities by a temperature (Guo et al., 2017), inside its pipeline.

    The results equal those of `evaluation.calibration.apply_temperature`, which fits the temperature.
    """

    temperature: Param[float] = Param(Params._dummy(), "temperature", "above 1: less confident", TypeConverters.toFloat)

    def __init__(self, temperature: float = 1.0):
        super().__init__()
        self._setDefault(probabilityCol="probability", temperature=1.0)
        self._set(temperature=temperature)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, temperature = self.getProbabilityCol(), self.getOrDefault(self.temperature)
        # Equal to dividing the logits: no probability is so small that its power underflows (T is 1/20 or more).
        odds = F.transform(
            vector_to_array(name), lambda p: F.pow(F.greatest(p, F.lit(MIN_PROBABILITY)), F.lit(1 / temperature))
        )
        return dataset.withColumn(name, array_to_vector(normalize_array(odds)))


def normalize_array(values: Column) -> Column:
    """Return an array<double> divided by its sum.

    The sum is bound to a variable of its own: Spark evaluates an expression that a lambda refers to once per element,
    and with a hundred classes that is a million steps per image.
    """
    total = F.aggregate(values, F.lit(0.0), lambda total, value: total + value)
    bound = F.array(F.struct(values.alias("values"), total.alias("total")))
    return F.transform(bound, lambda row: F.transform(row["values"], lambda value: value / row["total"]))[0]


def with_temperature_scaling(model: PipelineModel, temperature: float) -> PipelineModel:
    """Return the model with temperature scaling as its last stage."""
    return PipelineModel(stages=[*model.stages, TemperatureScaling(temperature)])


def weigh_classes(counts: Mapping[str, int], classes: Sequence[str], class_weights: str) -> dict[str, float]:
    """Return the weight of a row of each class.

    With class_weights `balanced` it is n / (k * n_class): all classes count the same (King and Zeng, 2001).
    """
    total, k = sum(counts.values()), len(classes)
    is_unweighted = class_weights == "none"
    return {name: 1.0 if is_unweighted or name not in counts else total / (k * counts[name]) for name in classes}


def prepare_training_rows(rows: DataFrame, classes: Sequence[str], class_weights: str) -> DataFrame:
    """Return vector, label (class index as a double), weight, and the other columns except the features.

    A row that also has features of the flipped image (`flipped`) becomes two.
    """
    counts = {row["label"]: row["count"] for row in rows.groupBy("label").count().collect()}
    total, weights = sum(counts.values()), weigh_classes(counts, classes, class_weights)
    index = _lookup({name: float(i) for i, name in enumerate(classes)})
    views = rows
    if FLIPPED_COLUMN in rows.columns:
        plain, other = views.drop(FLIPPED_COLUMN), views.drop("features").withColumnRenamed(FLIPPED_COLUMN, "features")
        views = plain.unionByName(other.where("features is not null"))
    # A fit is a hundred small jobs: few partitions, so that each task has work.
    views = views.coalesce(max(1, total // ROWS_PER_TASK))
    vectors = views.withColumn("weight", _lookup(weights)[F.col("label")])
    # The number of classes: a fold may lack the last of them.
    metadata = {"ml_attr": {"type": "nominal", "vals": list(classes)}}
    vectors = vectors.withColumn("label", index[F.col("label")].alias("label", metadata=metadata))
    return VECTOR.transform(vectors).drop("features")


def predict_probabilities(model: PipelineModel, rows: DataFrame, features: str = "features") -> DataFrame:
    """Add `probability` as array<double>, in the order of the classes, to rows that have features.

    The intermediate columns of the pipeline are dropped. `features` names the column to predict from.
    """
    renamed = rows if features == "features" else rows.withColumn("features", F.col(features))
    return model.transform(renamed).select(*rows.columns, vector_to_array("probability").alias("probability"))


def predict_with_flip(model: PipelineModel, rows: DataFrame) -> DataFrame:
    """Add `probability`, the mean prediction for the images and their flipped copies (`flipped`)."""
    plain = predict_probabilities(model, rows).withColumnRenamed("probability", "plain_probability")
    both = predict_probabilities(model, plain, FLIPPED_COLUMN)
    mean = F.zip_with("plain_probability", "probability", lambda one, other: (one + other) / 2)
    return both.withColumn("probability", mean).drop("plain_probability")


def _lookup(values: dict[str, float]) -> Column:
    pairs = [F.lit(part) for pair in values.items() for part in pair]
    return F.create_map(*pairs)
