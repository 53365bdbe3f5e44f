"""Metrics of a classifier on held-out images, with bootstrap intervals over groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats, percentile_interval, resample_groups
from pipelines.evaluation.calibration import reliability_bins
from pipelines.evaluation.inputs import EvaluationInput, format_list, prepare_input
from pipelines.evaluation.ranking import average_precision, review_fractions
from pipelines.evaluation.results import ClassMetrics, Evaluation, Interval
from pipelines.metrics.base import Counts, Metric, ReliabilityBin
from pipelines.metrics.registry import all_metrics

BY_CLASS = ("precision", "recall", "f1", "average_precision", "review_share_99", "review_share_95")
PROPORTIONS = ("precision", "recall")  # of correct predictions: see percentile_interval


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
    the classes that have images or predictions. The same rule holds within each resample. Metrics over all classes are
    those of pipelines/metrics.

    Raises ValueError with all faults of the input.
    """
    if bootstrap < 0 or not 0 < confidence < 1:
        raise ValueError(
            f"bootstrap is {bootstrap} and confidence {confidence}: give 0 or more, and a fraction below 1."
        )
    table = prepare_input(labels, probabilities, classes, groups)
    bins = reliability_bins(table.probabilities, table.truth == table.predicted)
    metrics = all_metrics()  # lists the files of a folder
    values = _compute_metrics(table, metrics, np.ones((table.group_count, 1)), bins)
    longest = max(len(table.confusion_by_group.indptr), *(ranking.retrieved.shape[0] for ranking in table.rankings))
    draws = resample_groups(table.group_count, bootstrap, seed, longest)
    chunks = [_compute_metrics(table, metrics, drawn) for drawn in draws]
    without_interval = [name for name, metric in metrics.items() if metric.needs == "bins"]
    samples = {
        name: np.concatenate([chunk[name] for chunk in chunks] or [value[..., :0]], axis=-1)
        for name, value in values.items()
        if name not in without_interval
    }
    names = [str(name) for name in classes]
    return Evaluation(
        classes=tuple(names),
        rows=len(table.truth),
        groups=table.group_count,
        resamples=bootstrap,
        confidence=confidence,
        metrics=_overall_intervals(table, metrics, values, samples, confidence),
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


def _compute_metrics(
    table: EvaluationInput, metrics: Mapping[str, Metric], drawn: Floats, bins: Sequence[ReliabilityBin] = ()
) -> dict[str, NDArray[np.float64]]:
    """Return each metric by resample: shape (b,) or, by class, (k, b). Drawing every group once gives the values.

    Those of `bins` are computed where bins are given.
    """
    k = len(table.rankings)
    rows = table.rows @ drawn
    curves = [ranking.curve(drawn) for ranking in table.rankings]
    average_precisions = np.stack([average_precision(*curve) for curve in curves])
    counts = Counts(
        (table.confusion_by_group @ drawn).reshape(k, k, -1),
        table.loss @ drawn,
        average_precisions,
        bins,
    )
    return {
        "precision": counts.precisions,
        "recall": counts.recalls,
        "f1": counts.f1s,
        "average_precision": average_precisions,
        "review_share_99": np.stack([review_fractions(*curve, rows, 0.99) for curve in curves]),
        "review_share_95": np.stack([review_fractions(*curve, rows, 0.95) for curve in curves]),
        **{name: metric.compute(counts) for name, metric in metrics.items() if bins or metric.needs != "bins"},
    }


def _overall_intervals(
    table: EvaluationInput,
    metrics: Mapping[str, Metric],
    values: dict[str, Floats],
    samples: dict[str, Floats],
    confidence: float,
) -> dict[str, Interval]:
    return {
        name: percentile_interval(
            float(values[name][0]),
            samples.get(name, values[name][:0]),
            table.group_count,
            confidence,
            is_proportion=metric.is_proportion,
        )
        for name, metric in metrics.items()
    }


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
            is_proportion=name in PROPORTIONS,
        )
        for name in BY_CLASS
    }
    return ClassMetrics(support=int(is_class.sum()), groups=groups, **metrics)


def _confusion_matrix(table: EvaluationInput, k: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(table.truth * k + table.predicted, minlength=k * k).reshape(k, k)
    return tuple(tuple(int(count) for count in row) for row in counts)
