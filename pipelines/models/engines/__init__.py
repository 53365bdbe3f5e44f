"""What runs a backbone on a worker: OpenVINO on CPUs, torch on GPUs and as the reference. No Spark."""

from pipelines.models.engines.engine import Engine, Engines
from pipelines.models.engines.graph import Graph, can_convert, graph_of

__all__ = ["Engine", "Engines", "Graph", "can_convert", "graph_of"]
