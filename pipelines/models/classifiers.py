"""The classifier on the features: a Spark ML pipeline from array<float> to a label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import StandardScaler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol, HasProbabilityCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.settings import Train

LEAST = 2.220446049250313e-16  # the smallest probability told apart from none: a double's epsilon


class ArrayToVector(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Turn a column of array<float> into Spark ML's vectors, inside a pipeline that is saved and loaded."""

    def __init__(self, inputCol: str | None = None, outputCol: str | None = None):
        super().__init__()
        if inputCol is not None and outputCol is not None:
            self._set(inputCol=inputCol, outputCol=outputCol)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.withColumn(self.getOutputCol(), array_to_vector(F.col(self.getInputCol()).cast("array<double>")))


class Temperature(Transformer, HasProbabilityCol, DefaultParamsReadable, DefaultParamsWritable):
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
        logits = F.transform(vector_to_array(name), lambda p: F.log(F.greatest(p, F.lit(LEAST))) / temperature)
        odds = F.transform(logits, lambda logit: F.exp(logit - F.array_max(logits)))
        whole = F.aggregate(odds, F.lit(0.0), lambda total, each: total + each)
        return dataset.withColumn(name, array_to_vector(F.transform(odds, lambda each: each / whole)))


def calibrated(model: PipelineModel, temperature: float) -> PipelineModel:
    """Give the model with the temperature as its last step."""
    return PipelineModel(stages=[*model.stages, Temperature(temperature)])


def train_classifiers(
    rows: DataFrame, classes: Sequence[str], settings: Train, reg_params: Sequence[float]
) -> Iterator[tuple[float, PipelineModel]]:
    """Fit scaling once and a multinomial logistic regression for each penalty, on rows of features, label (text).

    With class_weights `balanced` a row weighs n / (k * n_class): every class counts the same (King and Zeng, 2001).
    """
    indexed = with_weights(rows, classes, settings.class_weights)
    scaler = StandardScaler(inputCol="vector", outputCol="scaled", withMean=True, withStd=True)
    scaling = Pipeline(stages=[ArrayToVector("features", "vector"), scaler]).fit(indexed)
    scaled = scaling.transform(indexed).select("scaled", "label", "weight").cache()
    try:
        for reg_param in reg_params:
            regression = LogisticRegression(
                featuresCol="scaled",
                labelCol="label",
                weightCol="weight",
                family="multinomial",
                regParam=reg_param,
                elasticNetParam=settings.elastic_net,
                maxIter=settings.max_iter,
                tol=1e-5,
                standardization=False,  # the scaler has done it
            )
            yield reg_param, PipelineModel(stages=[*scaling.stages, regression.fit(scaled)])
    finally:  # whoever asks may stop early
        scaled.unpersist()


def with_weights(rows: DataFrame, classes: Sequence[str], class_weights: str) -> DataFrame:
    """Give features, label (the class's place as a double) and weight."""
    counts = {row["label"]: row["count"] for row in rows.groupBy("label").count().collect()}
    total, k = sum(counts.values()), len(classes)
    even = {name: 1.0 if class_weights == "none" else total / (k * counts[name]) for name in classes}
    index = _lookup({name: float(place) for place, name in enumerate(classes)})
    # Renamed first: a select that makes `label` anew would hand the new one to the weights.
    named = rows.select("features", F.col("label").alias("name"))
    return named.select("features", index[F.col("name")].alias("label"), _lookup(even)[F.col("name")].alias("weight"))


def probabilities(model: PipelineModel, rows: DataFrame) -> DataFrame:
    """Add `probability` as array<double>, in the order of the classes, to rows that have features.

    The steps of the pipeline that only lead there are dropped.
    """
    scored = model.transform(rows)
    return scored.select(*rows.columns, vector_to_array("probability").alias("probability"))


def log_loss(model: PipelineModel, rows: DataFrame, classes: Sequence[str]) -> float:
    """Give the mean log-loss, in nats, of the model on rows of features, label (text)."""
    evaluator = MulticlassClassificationEvaluator(metricName="logLoss", probabilityCol="probability")
    return float(evaluator.evaluate(model.transform(with_weights(rows, classes, "none"))))


def _lookup(values: dict[str, float]) -> Column:
    pairs = [F.lit(part) for pair in values.items() for part in pair]
    return F.create_map(*pairs)
