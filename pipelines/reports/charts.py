"""Charts of the report as plain numbers. The templates draw them with HTML and CSS, without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.evaluation.results import ClassMetrics, Evaluation
from pipelines.evaluation.review_policy import TARGET_RECALLS, OperatingPointResult, is_blank

# Colour names are classes of the style sheet. Blanks are grey and come last.
SERIES_COLORS = tuple(f"s{i}" for i in range(8))
BLANK, SHARED = "blank", "shared"
OTHERS = "all others"


@dataclass(frozen=True)
class Series:
    """A label of a chart and the name of its colour."""

    label: str
    colour: str


@dataclass(frozen=True)
class Bar:
    """One row of stacked parts; `width` in per cent of the longest row, widths of parts in per cent of this row."""

    name: str
    total: int
    width: float
    parts: tuple[tuple[Series, int, float], ...]


@dataclass(frozen=True)
class Day:
    """24 hourly counts of a label, and their heights in per cent of the highest."""

    series: Series
    total: int
    counts: tuple[int, ...]
    heights: tuple[float, ...]

    @property
    def peak(self) -> int:
        """Return the hour with the most images."""
        return self.counts.index(max(self.counts))


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` is its fraction of the true class."""

    count: int
    share: float
    predicted: str
    is_right: bool

    @property
    def heat(self) -> float:
        """Return the intensity of the shading, 0 to 1; errors get the square root, so that rare ones are visible."""
        return self.share if self.is_right else self.share**0.5


@dataclass(frozen=True)
class Confusion:
    """How often images of one class were predicted as another."""

    truth: str
    prediction: str
    count: int
    share: float


def palette(counts: Mapping[str, int]) -> list[Series]:
    """Return labels with their colours, the most frequent first; labels beyond the eighth share one colour."""
    labels = sorted(counts, key=lambda label: (-counts[label], label))
    blanks = [label for label in labels if is_blank(label)]
    others = [label for label in labels if label not in blanks]
    series = [Series(label, SERIES_COLORS[i] if i < len(SERIES_COLORS) else SHARED) for i, label in enumerate(others)]
    return series + [Series(label, BLANK) for label in blanks]


def label_counts(*tables: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the total count of each label over all rows; labels without images are left out."""
    sums: Counter[str] = Counter()
    for table in tables:
        for row in table.values():
            sums.update(row)
    return {label: count for label, count in sums.items() if count}


def legend(series: Sequence[Series]) -> list[Series]:
    """Return the entries of a legend: labels with their own colour, then one entry for all others."""
    own = [entry for entry in series if entry.colour != SHARED]
    return own if len(own) == len(series) else [*own, Series(OTHERS, SHARED)]


def bars(table: Mapping[str, Mapping[str, int]], series: Sequence[Series]) -> list[Bar]:
    """Return one bar per row, the longest first; labels without their own colour are combined."""
    longest = max((sum(row.values()) for row in table.values()), default=0)
    rows = sorted(table.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [_bar(name, row, series, longest) for name, row in rows]


def hourly_activity(hours: Mapping[str, Sequence[int]], series: Sequence[Series]) -> list[Day]:
    """Return the hourly counts of each label that occurs, in the order of the series."""
    return [_day(entry, hours[entry.label]) for entry in series if any(hours.get(entry.label, ()))]


def confusion(evaluation: Evaluation) -> list[tuple[str, int, list[Cell]]]:
    """Return the rows of the confusion matrix: true class, its count, and one cell per predicted class."""
    rows = zip(evaluation.classes, evaluation.confusion, strict=True)
    return [(name, sum(counts), list(_cells(name, counts, evaluation.classes))) for name, counts in rows]


def top_confusions(evaluation: Evaluation, limit: int = 12) -> list[Confusion]:
    """Return the most frequent confusions of two classes, at most `limit`."""
    confusions = [
        Confusion(name, cell.predicted, cell.count, cell.share)
        for name, _, cells in confusion(evaluation)
        for cell in cells
        if cell.count and not cell.is_right
    ]
    return sorted(confusions, key=lambda item: (-item.count, item.truth, item.prediction))[:limit]


def ordered_classes(evaluation: Evaluation, first: Sequence[str] = ()) -> list[tuple[str, ClassMetrics]]:
    """Return all classes with their metrics, the classes of interest first."""
    names = [name for name in first if name in evaluation.per_class]
    names += [name for name in evaluation.per_class if name not in names]
    return [(name, evaluation.per_class[name]) for name in names]


def headline_classes(evaluation: Evaluation, first: Sequence[str] = ()) -> list[tuple[str, ClassMetrics]]:
    """Return the classes of interest with their metrics; if none are named, the first six that are not blank."""
    classes = ordered_classes(evaluation, first)
    if first:
        return [item for item in classes if item[0] in first]
    return [item for item in classes if not is_blank(item[0])][:6]


def find_review(
    reviews: Sequence[OperatingPointResult], label: str, recall: float, unit: str = "image"
) -> OperatingPointResult | None:
    """Return the result of the operating point for this class, recall and unit; None without one."""
    key = (label, recall, unit)
    return next((item for item in reviews if (item.point.label, item.point.recall, item.point.unit) == key), None)


def headline_reviews(reviews: Sequence[OperatingPointResult], labels: Iterable[str]) -> dict[str, OperatingPointResult]:
    """Return each label's reliable operating point with the highest recall; labels without one are left out."""
    results = {label: [find_review(reviews, label, recall) for recall in TARGET_RECALLS] for label in labels}
    reliable = {label: [item for item in both if item and item.point.is_reliable] for label, both in results.items()}
    return {label: both[0] for label, both in reliable.items() if both}


def _bar(name: str, row: Mapping[str, int], series: Sequence[Series], longest: int) -> Bar:
    total = sum(row.values())
    own = [(entry, row.get(entry.label, 0)) for entry in series if entry.colour != SHARED]
    rest = total - sum(count for _, count in own)
    parts = [*own, (Series(OTHERS, SHARED), rest)]
    return Bar(
        name=name,
        total=total,
        width=100 * total / longest if longest else 0.0,
        parts=tuple((entry, count, 100 * count / total) for entry, count in parts if count > 0),
    )


def _day(series: Series, counts: Sequence[int]) -> Day:
    highest = max(counts)
    return Day(series, sum(counts), tuple(counts), tuple(100 * count / highest for count in counts))


def _cells(truth: str, counts: Sequence[int], classes: Iterable[str]) -> Iterable[Cell]:
    total = sum(counts)
    for predicted, count in zip(classes, counts, strict=True):
        yield Cell(count, count / total if total else 0.0, predicted, predicted == truth)
