"""The classifier on the features: a Spark ML pipeline from array<float> to a label."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol, HasProbabilityCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

ROWS_PER_TASK = 5_000
FLIPPED_COLUMN = "flipped"  # the column of features of the flipped image
MIN_PROBABILITY = 2.220446049250313e-16  # the smallest probability told apart from none: a double's epsilon


class ArrayToVector(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Turn a column of array<float> into Spark ML's vectors, inside a pipeline that is saved and loaded."""

    def __init__(self, inputCol: str | None = None, outputCol: str | None = None):
        super().__init__()
        if inputCol is not None and outputCol is not None:
            self._set(inputCol=inputCol, outputCol=outputCol)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.withColumn(self.getOutputCol(), array_to_vector(F.col(self.getInputCol()).cast("array<double>")))


VECTOR = ArrayToVector("features", "vector")


class TemperatureScaling(Transformer, HasProbabilityCol, DefaultParamsReadable, DefaultParamsWritable):
    """Divide the logits of a classifier's probabilities by a temperature (Guo et al., 2017), inside its pipeline.

    The same numbers as `evaluation.calibration.temper`, which finds the temperature.
    """

    temperature: Param[float] = Param(Params._dummy(), "temperature", "above 1: less sure", TypeConverters.toFloat)

    def __init__(self, temperature: float = 1.0):
        super().__init__()
        self._setDefault(probabilityCol="probability", temperature=1.0)
        self._set(temperature=temperature)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, temperature = self.getProbabilityCol(), self.getOrDefault(self.temperature)
        # The same as logits divided by it: none of them is so small that a power of it is lost (T is 1/20 or more).
        odds = F.transform(
            vector_to_array(name), lambda p: F.pow(F.greatest(p, F.lit(MIN_PROBABILITY)), F.lit(1 / temperature))
        )
        return dataset.withColumn(name, array_to_vector(normalize_array(odds)))


def normalize_array(values: Column) -> Column:
    """Give an array<double> divided by its sum.

    The sum is bound to a variable of its own: Spark works out anew, for every element, what a lambda merely names, and
    with a hundred classes that is a million steps an image.
    """
    whole = F.aggregate(values, F.lit(0.0), lambda total, each: total + each)
    bound = F.array(F.struct(values.alias("values"), whole.alias("whole")))
    return F.transform(bound, lambda it: F.transform(it["values"], lambda each: each / it["whole"]))[0]


def with_temperature_scaling(model: PipelineModel, temperature: float) -> PipelineModel:
    """Give the model with the temperature as its last step."""
    return PipelineModel(stages=[*model.stages, TemperatureScaling(temperature)])


def prepare_training_rows(rows: DataFrame, classes: Sequence[str], class_weights: str) -> DataFrame:
    """Give vector, label (the class's place as a double), weight, and what else the rows have but their features.

    With class_weights `balanced` a row weighs n / (k * n_class): every class counts the same (King and Zeng, 2001).
    A row whose image has features of its flipped image too (`flipped`) becomes two.
    """
    counts = {row["label"]: row["count"] for row in rows.groupBy("label").count().collect()}
    total, k = sum(counts.values()), len(classes)
    is_even = class_weights == "none"
    even = {name: 1.0 if is_even or name not in counts else total / (k * counts[name]) for name in classes}
    index = _lookup({name: float(place) for place, name in enumerate(classes)})
    views = rows
    if FLIPPED_COLUMN in rows.columns:
        plain, other = views.drop(FLIPPED_COLUMN), views.drop("features").withColumnRenamed(FLIPPED_COLUMN, "features")
        views = plain.unionByName(other.where("features is not null"))
    # A fit is a hundred small jobs: each task of one should have something to do.
    views = views.coalesce(max(1, total // ROWS_PER_TASK))
    found = views.withColumn("weight", _lookup(even)[F.col("label")])
    # How many classes there are: a fold may lack the last of them.
    about = {"ml_attr": {"type": "nominal", "vals": list(classes)}}
    found = found.withColumn("label", index[F.col("label")].alias("label", metadata=about))
    return VECTOR.transform(found).drop("features")


def predict_probabilities(model: PipelineModel, rows: DataFrame, features: str = "features") -> DataFrame:
    """Add `probability` as array<double>, in the order of the classes, to rows that have features.

    The steps of the pipeline that only lead there are dropped. `features` names the column that is asked about.
    """
    known = rows if features == "features" else rows.withColumn("features", F.col(features))
    return model.transform(known).select(*rows.columns, vector_to_array("probability").alias("probability"))


def predict_with_flip(model: PipelineModel, rows: DataFrame) -> DataFrame:
    """Add `probability`, the mean of what the model says of the images and of their flipped images (`flipped`)."""
    plain = predict_probabilities(model, rows).withColumnRenamed("probability", "of_features")
    both = predict_probabilities(model, plain, FLIPPED_COLUMN)
    mean = F.zip_with("of_features", "probability", lambda one, other: (one + other) / 2)
    return both.withColumn("probability", mean).drop("of_features")


def _lookup(values: dict[str, float]) -> Column:
    pairs = [F.lit(part) for pair in values.items() for part in pair]
    return F.create_map(*pairs)
