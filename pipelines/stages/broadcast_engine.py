"""Send a backbone to the executors, which build its engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark import TaskContext
from pyspark.sql import SparkSession

from pipelines.backbones import Backbone
from pipelines.backbones.devices import require_torch
from pipelines.config.settings import EngineName
from pipelines.engines import EngineFactory, load_or_convert, uses_openvino


def broadcast_engine(
    spark: SparkSession, backbone: Backbone, engine: EngineName, device: str, cache: str
) -> Callable[[], EngineFactory]:
    """Return a picklable function to the engine's factory; weights or the converted network are broadcast.

    `cache` is the folder of converted networks. Raises PlatformError without torch where it is needed, WeightsError for
    weights that do not fit the network.
    """
    is_converted = uses_openvino(engine, device)
    if not is_converted:
        require_torch(f"engine = {engine}, device = {device}")
        backbone.check()
    context, light = spark.sparkContext, backbone.without_weights()
    weights = context.broadcast(backbone.weights)
    converted = load_or_convert(backbone, cache) if is_converted else None
    digest, graph = (converted.digest, context.broadcast(converted)) if converted else ("", None)

    def make() -> EngineFactory:
        return EngineFactory(light, lambda: weights.value, (lambda: graph.value) if graph else None, digest)

    return make


def assigned_gpus() -> Sequence[str]:
    """Return the addresses of the GPUs that Spark assigned to the running task."""
    task = TaskContext.get()
    gpus = task.resources().get("gpu") if task else None
    return gpus.addresses if gpus else ()
