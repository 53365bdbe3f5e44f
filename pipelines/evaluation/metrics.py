"""Metrics of a classifier on held-out images, with bootstrap intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats, percentile_interval, resample_groups
from pipelines.evaluation.calibration import calibration_error, reliability_bins
from pipelines.evaluation.inputs import EvaluationInput, format_list, prepare_input
from pipelines.evaluation.ranking import average_precision, review_fractions, safe_divide
from pipelines.evaluation.results import METRICS, ClassMetrics, Evaluation, Interval, ReliabilityBin, text_table

__all__ = [
    "METRICS",
    "ClassMetrics",
    "Evaluation",
    "Interval",
    "ReliabilityBin",
    "confusion_metrics",
    "evaluate",
    "review_fraction",
    "text_table",
]

PROPORTION_METRICS = ("accuracy", "precision", "recall")  # proportions of correct predictions: see percentile_interval


def evaluate(
    labels: Sequence[str],
    probabilities: ArrayLike,
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Evaluation:
    """Return all metrics of the classifier on these images, with bootstrap intervals over the groups.

    `probabilities` has shape (n, k), columns in the order of `classes`; the prediction is the most probable class, the
    first of equals. The order of the rows does not matter. With `bootstrap=0` there are no intervals.

    A class without an image has no recall, average precision or review share, and a class that was never predicted no
    precision: they are None, and left out of balanced accuracy and mean average precision. Macro F1 is the mean over
    the classes that have images or predictions. The same rule holds within each resample. Log-loss is in nats. The
    calibration error has no interval: resampling adds noise to every bin, which biases the error upwards, so
    percentiles would not cover it.

    Raises ValueError with all faults of the input.
    """
    if bootstrap < 0 or not 0 < confidence < 1:
        raise ValueError(
            f"bootstrap is {bootstrap} and confidence {confidence}: give 0 or more, and a fraction below 1."
        )
    table = prepare_input(labels, probabilities, classes, groups)
    values = _compute_metrics(table, np.ones((table.group_count, 1)))
    longest = max(len(table.confusion_by_group.indptr), *(ranking.retrieved.shape[0] for ranking in table.rankings))
    chunks = [_compute_metrics(table, drawn) for drawn in resample_groups(table.group_count, bootstrap, seed, longest)]
    samples = {
        name: np.concatenate([chunk[name] for chunk in chunks] or [value[..., :0]], axis=-1)
        for name, value in values.items()
    }
    names = [str(name) for name in classes]
    bins = reliability_bins(table.probabilities, table.truth == table.predicted)
    return Evaluation(
        classes=tuple(names),
        rows=len(table.truth),
        groups=table.group_count,
        resamples=bootstrap,
        confidence=confidence,
        metrics=_overall_intervals(table, values, samples, confidence, calibration_error(bins)),
        per_class={name: _class_metrics(table, values, samples, confidence, index) for index, name in enumerate(names)},
        confusion=_confusion_matrix(table, len(names)),
        reliability=bins,
    )


def review_fraction(
    labels: Sequence[str],
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    class_of_interest: str,
    recall: float,
) -> float:
    """Return the fraction of all images that a person must review to see `recall` of one class's images.

    Images are reviewed in the order of the class's probability, ties together. The threshold is chosen on the images
    that it is measured on, hence optimistic: on new images the same threshold finds a little less. With fewer than
    1 / (1 - recall) images of the class, every one of them must be found. Raises ValueError if the class has no image.
    """
    if class_of_interest not in classes:
        raise ValueError(f"Class {class_of_interest!r} is not one of the classes: {format_list(classes)}.")
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; give a fraction above 0 and up to 1.")
    table = prepare_input(labels, probabilities, classes, [""] * len(labels))
    once = np.ones((1, 1))
    curve = table.rankings[list(classes).index(class_of_interest)].curve(once)
    fraction = float(review_fractions(*curve, table.rows @ once, recall)[0])
    if np.isnan(fraction):
        raise ValueError(f"No image has the label {class_of_interest!r}, so its recall is undefined.")
    return fraction


def _compute_metrics(table: EvaluationInput, drawn: Floats) -> dict[str, NDArray[np.float64]]:
    """Return each metric by resample: shape (b,) or, by class, (k, b). Drawing every group once gives the values."""
    k = len(table.rankings)
    rows = table.rows @ drawn
    curves = [ranking.curve(drawn) for ranking in table.rankings]
    metrics = confusion_metrics((table.confusion_by_group @ drawn).reshape(k, k, -1))
    metrics |= {
        "log_loss": table.loss @ drawn / rows,
        "average_precision": np.stack([average_precision(*curve) for curve in curves]),
        "review_share_99": np.stack([review_fractions(*curve, rows, 0.99) for curve in curves]),
        "review_share_95": np.stack([review_fractions(*curve, rows, 0.95) for curve in curves]),
    }
    metrics["mean_average_precision"] = np.nanmean(metrics["average_precision"], axis=0)
    return metrics


def confusion_metrics(cells: Floats) -> dict[str, Floats]:
    """Return the metrics of the predicted class by resample; `cells` has shape (k true, k predicted, b)."""
    correct, truth, predicted = np.einsum("iib->ib", cells), cells.sum(axis=1), cells.sum(axis=0)
    metrics = {
        "accuracy": correct.sum(axis=0) / cells.sum(axis=(0, 1)),
        "precision": safe_divide(correct, predicted),
        "recall": safe_divide(correct, truth),
        "f1": safe_divide(2 * correct, truth + predicted),
    }
    # A resample always has some class, so none of these means is empty.
    metrics["balanced_accuracy"] = np.nanmean(metrics["recall"], axis=0)
    metrics["macro_f1"] = np.nanmean(metrics["f1"], axis=0)
    return metrics


def _overall_intervals(
    table: EvaluationInput,
    values: dict[str, Floats],
    samples: dict[str, Floats],
    confidence: float,
    calibration: float,
) -> dict[str, Interval]:
    intervals = {
        name: percentile_interval(
            float(values[name][0]),
            samples[name],
            table.group_count,
            confidence,
            is_proportion=name in PROPORTION_METRICS,
        )
        for name in METRICS
        if name in values
    }
    return {name: intervals.get(name, Interval(calibration)) for name in METRICS}


def _class_metrics(
    table: EvaluationInput, values: dict[str, Floats], samples: dict[str, Floats], confidence: float, index: int
) -> ClassMetrics:
    is_class = table.truth == index
    groups = len(np.unique(table.groups[is_class]))
    groups_by_metric = {"precision": len(np.unique(table.groups[table.predicted == index]))}
    metrics = {
        name: percentile_interval(
            float(values[name][index, 0]),
            samples[name][index],
            groups_by_metric.get(name, groups),
            confidence,
            is_proportion=name in PROPORTION_METRICS,
        )
        for name in ("precision", "recall", "f1", "average_precision", "review_share_99", "review_share_95")
    }
    return ClassMetrics(support=int(is_class.sum()), groups=groups, **metrics)


def _confusion_matrix(table: EvaluationInput, k: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(table.truth * k + table.predicted, minlength=k * k).reshape(k, k)
    return tuple(tuple(int(count) for count in row) for row in counts)
