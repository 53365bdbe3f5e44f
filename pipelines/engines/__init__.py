"""Engines run a backbone on a worker: OpenVINO on CPUs, torch on GPUs and as the reference. No Spark."""

from pipelines.engines.engine import Engine, EngineFactory
from pipelines.engines.graph import Graph, openvino_available
from pipelines.engines.graph_cache import load_or_convert

__all__ = ["Engine", "EngineFactory", "Graph", "load_or_convert", "openvino_available"]
