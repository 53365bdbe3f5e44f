"""Engines run a backbone on a worker: OpenVINO on CPUs, torch on GPUs and as the reference. No Spark."""

# ruff: noqa: E402
import sys

# When it is imported, OpenVINO would send usage data to Google Analytics, from a thread that forks this process. The
# fork waits for Python's import lock, holding that of `logging`; a Spark worker that imports another module meanwhile
# waits for the two in the opposite order, and the task would never end. Without this package OpenVINO sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from pipelines.engines.engine import Engine, EngineFactory, require_packages, uses_openvino
from pipelines.engines.graph import Graph
from pipelines.engines.graph_cache import load_or_convert

__all__ = ["Engine", "EngineFactory", "Graph", "load_or_convert", "require_packages", "uses_openvino"]
