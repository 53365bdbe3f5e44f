"""Engines run a backbone on a worker: OpenVINO on CPUs, torch on GPUs and as the reference. No Spark."""

from pipelines.engines.engine import Engine, EngineFactory, require_packages, uses_openvino
from pipelines.engines.graph import Graph
from pipelines.engines.graph_cache import load_or_convert

__all__ = ["Engine", "EngineFactory", "Graph", "load_or_convert", "require_packages", "uses_openvino"]
