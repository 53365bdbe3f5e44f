"""Log-loss: the mean negative log-likelihood of the true classes, in nats."""

from __future__ import annotations

from pipelines.metrics.base import Counts, Floats, Metric


def log_loss(counts: Counts) -> Floats:
    assert counts.log_loss_sum is not None
    return counts.log_loss_sum / counts.images


METRIC = Metric(
    "log_loss",
    "Log-loss",
    "nats; lower is better",
    log_loss,
    needs="probabilities",
    higher_is_better=False,
    unit="decimal",
)
