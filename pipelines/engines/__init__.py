"""What runs a backbone on a worker: OpenVINO on CPUs, torch on GPUs and as the reference. No Spark."""

from pipelines.engines.engine import Engine, EngineFactory
from pipelines.engines.graph import Graph, load_or_convert, openvino_available

__all__ = ["Engine", "EngineFactory", "Graph", "load_or_convert", "openvino_available"]
