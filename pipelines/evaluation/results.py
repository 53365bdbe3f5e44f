"""Evaluation results of a classifier: plain values that convert to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.metrics.base import ReliabilityBin


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval.

    `value` is None where the metric is undefined (the recall of a class without an image). `low` and `high` are None
    where there is no valid interval: fewer than two groups, or no resampling.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def format(self, digits: int = 3) -> str:
        """Return '0.848 (0.790 to 0.900)' for a table; a dash where the value is undefined."""
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class, one against the rest.

    `support` counts the images with that label and `groups` the groups they come from. `review_share_99` is the
    fraction of all images that a person must review to see 99 % of this class. Its threshold is chosen on the same
    images, hence optimistic: operating points have one that is chosen on validation.
    """

    support: int
    groups: int
    precision: Interval
    recall: Interval
    f1: Interval
    average_precision: Interval
    review_share_99: Interval
    review_share_95: Interval


@dataclass(frozen=True)
class Evaluation:
    """All metrics of a classifier on one set of images.

    `confusion` has a row for each true class and a column for each predicted class, both in the order of `classes`.
    """

    classes: tuple[str, ...]
    rows: int
    groups: int
    resamples: int
    confidence: float
    metrics: dict[str, Interval]
    per_class: dict[str, ClassMetrics]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]

    @property
    def is_grouped(self) -> bool:
        """Whether some group has more than one image, so that intervals are wider than over images."""
        return self.groups < self.rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and None, ready for json.dumps."""
        values = asdict(self)
        values["classes"] = list(self.classes)
        values["confusion"] = [list(row) for row in self.confusion]
        values["reliability"] = list(values["reliability"])
        return {**values, "is_grouped": self.is_grouped}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation that `to_dict` has converted."""
        return cls(
            classes=tuple(values["classes"]),
            rows=values["rows"],
            groups=values["groups"],
            resamples=values["resamples"],
            confidence=values["confidence"],
            metrics={name: Interval(**value) for name, value in values["metrics"].items()},
            per_class={name: _class_metrics(value) for name, value in values["per_class"].items()},
            confusion=tuple(tuple(row) for row in values["confusion"]),
            reliability=tuple(ReliabilityBin(**value) for value in values["reliability"]),
        )


def text_table(evaluation: Evaluation) -> str:
    """Return the metrics as a short aligned table for the terminal."""
    unit = "groups" if evaluation.is_grouped else "images"
    head = f"{evaluation.rows:,} images, {evaluation.groups:,} groups"
    if evaluation.resamples:
        head += f"; {evaluation.confidence:.0%} intervals by bootstrap over {unit}"
    overall = [[name.replace("_", " "), interval.format()] for name, interval in evaluation.metrics.items()]
    rows = [["class", "images", "groups", "precision", "recall", "AP", "review share at recall .99"]]
    for name, metrics in evaluation.per_class.items():
        intervals = (metrics.precision, metrics.recall, metrics.average_precision, metrics.review_share_99)
        counts = [f"{metrics.support:,}", f"{metrics.groups:,}"]
        rows.append([truncate(name), *counts, *(interval.format(2) for interval in intervals)])
    return "\n".join([head, "", *align_columns(overall), "", *align_columns(rows)])


def _class_metrics(values: Mapping[str, Any]) -> ClassMetrics:
    fields: dict[str, Any] = dict(values)
    intervals = {name: Interval(**value) for name, value in fields.items() if isinstance(value, Mapping)}
    return ClassMetrics(**{**fields, **intervals})


def align_columns(rows: list[list[str]]) -> list[str]:
    """Return the lines of a table whose columns are as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def truncate(text: str, width: int = 24) -> str:
    """Return a text on one line, cut where it is too wide for a column."""
    line = " ".join(text.split())  # a line break in a label would break the table
    return line if len(line) <= width else line[: width - 1] + "…"
