"""Registry of the metrics: `all_metrics` returns them by name. A new metric is a new file in this folder.

Each metric's file is named after it and defines METRIC, a `Metric`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pipelines import metrics

if TYPE_CHECKING:
    from pipelines.metrics.base import Metric  # settings name metrics, and most commands need no NumPy


def all_metrics() -> dict[str, Metric]:
    """Return every metric by its name, in alphabetical order."""
    names = sorted(found.name for found in iter_modules(metrics.__path__))
    modules = [import_module(f"{metrics.__name__}.{name}") for name in names]
    return {module.METRIC.name: module.METRIC for module in modules if hasattr(module, "METRIC")}


def validate_gate_metric(name: str) -> str:
    """Return the name of a metric of predicted classes, which can decide over the champion; raise ValueError."""
    return _validate(name, [metric.name for metric in all_metrics().values() if metric.needs == "confusion"])


def validate_sweep_metric(name: str) -> str:
    """Return the name of a metric that a search can optimize; raise ValueError.

    A calibration error is not one: every model is calibrated after it has been chosen.
    """
    return _validate(name, [metric.name for metric in all_metrics().values() if metric.needs != "bins"])


def _validate(name: str, known: list[str]) -> str:
    if name not in known:
        raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}, not {name!r}")
    return name
