"""The report's charts as plain numbers: the templates draw them with HTML and CSS, so they need no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.evaluation.results import ClassMetrics, Evaluation
from pipelines.evaluation.review_policy import TARGET_RECALLS, OperatingPointResult, is_blank

# Names of colours are classes of the style sheet. Blanks are grey, and last.
SERIES_COLORS = tuple(f"s{place}" for place in range(8))
BLANK, SHARED = "blank", "shared"
OTHERS = "all others"


@dataclass(frozen=True)
class Series:
    """Hold a label of a chart with the name of its colour."""

    label: str
    colour: str


@dataclass(frozen=True)
class Bar:
    """Hold one row of stacked parts; widths in per cent of the longest row and of this row."""

    name: str
    total: int
    width: float
    parts: tuple[tuple[Series, int, float], ...]


@dataclass(frozen=True)
class Day:
    """Hold 24 counts of a label, and their heights in per cent of the highest."""

    series: Series
    total: int
    counts: tuple[int, ...]
    heights: tuple[float, ...]

    @property
    def peak(self) -> int:
        """Give the hour with the most images."""
        return self.counts.index(max(self.counts))


@dataclass(frozen=True)
class Cell:
    """Hold one cell of the confusion matrix; `share` is of its true class."""

    count: int
    share: float
    predicted: str
    is_right: bool

    @property
    def heat(self) -> float:
        """Give how strongly to shade it; rare mistakes must be seen too, so theirs is a square root."""
        return self.share if self.is_right else self.share**0.5


@dataclass(frozen=True)
class Confusion:
    """Hold how often a class was taken for another."""

    truth: str
    prediction: str
    count: int
    share: float


def palette(counts: Mapping[str, int]) -> list[Series]:
    """Give labels, the most frequent first, each with its colour; those beyond the eighth share one."""
    labels = sorted(counts, key=lambda label: (-counts[label], label))
    blanks = [label for label in labels if is_blank(label)]
    others = [label for label in labels if label not in blanks]
    series = [
        Series(label, SERIES_COLORS[place] if place < len(SERIES_COLORS) else SHARED)
        for place, label in enumerate(others)
    ]
    return series + [Series(label, BLANK) for label in blanks]


def label_counts(*tables: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Give the sum of each label over rows of counts."""
    sums: Counter[str] = Counter()
    for table in tables:
        for row in table.values():
            sums.update(row)
    return {label: count for label, count in sums.items() if count}


def legend(series: Sequence[Series]) -> list[Series]:
    """Give what a legend must name: every label with its colour, and what the other labels share."""
    own = [each for each in series if each.colour != SHARED]
    return own if len(own) == len(series) else [*own, Series(OTHERS, SHARED)]


def bars(table: Mapping[str, Mapping[str, int]], series: Sequence[Series]) -> list[Bar]:
    """Give one bar a row, the longest first; labels without a colour of their own are put together."""
    longest = max((sum(row.values()) for row in table.values()), default=0)
    rows = sorted(table.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [_bar(name, row, series, longest) for name, row in rows]


def hourly_activity(hours: Mapping[str, Sequence[int]], series: Sequence[Series]) -> list[Day]:
    """Give the hours of each label that was seen, in the order of the series."""
    return [_day(each, hours[each.label]) for each in series if any(hours.get(each.label, ()))]


def confusion(evaluation: Evaluation) -> list[tuple[str, int, list[Cell]]]:
    """Give the rows of the confusion matrix: true class, its count and a cell for each predicted class."""
    rows = zip(evaluation.classes, evaluation.confusion, strict=True)
    return [(name, sum(counts), list(_cells(name, counts, evaluation.classes))) for name, counts in rows]


def top_confusions(evaluation: Evaluation, most: int = 12) -> list[Confusion]:
    """Give the most frequent confusions of two classes."""
    found = [
        Confusion(name, cell.predicted, cell.count, cell.share)
        for name, _, cells in confusion(evaluation)
        for cell in cells
        if cell.count and not cell.is_right
    ]
    return sorted(found, key=lambda each: (-each.count, each.truth, each.prediction))[:most]


def ordered_classes(evaluation: Evaluation, first: Sequence[str] = ()) -> list[tuple[str, ClassMetrics]]:
    """Give the classes with their figures, those of interest first."""
    names = [name for name in first if name in evaluation.per_class]
    names += [name for name in evaluation.per_class if name not in names]
    return [(name, evaluation.per_class[name]) for name in names]


def headline_classes(evaluation: Evaluation, first: Sequence[str] = ()) -> list[tuple[str, ClassMetrics]]:
    """Give the classes of interest; where none are named, the first six that are not blanks."""
    classes = ordered_classes(evaluation, first)
    if first:
        return [each for each in classes if each[0] in first]
    return [each for each in classes if not is_blank(each[0])][:6]


def review_of(
    reviews: Sequence[OperatingPointResult], label: str, recall: float, unit: str = "image"
) -> OperatingPointResult | None:
    """Give what it costs to find this share of a class."""
    asked = (label, recall, unit)
    return next((each for each in reviews if (each.point.label, each.point.recall, each.point.unit) == asked), None)


def headline_reviews(reviews: Sequence[OperatingPointResult], labels: Iterable[str]) -> dict[str, OperatingPointResult]:
    """Give what it costs to find the largest share of each label for which groups enough were held out, if any."""
    found = {label: [review_of(reviews, label, recall) for recall in TARGET_RECALLS] for label in labels}
    trusted = {label: [each for each in both if each and each.point.is_reliable] for label, both in found.items()}
    return {label: both[0] for label, both in trusted.items() if both}


def _bar(name: str, row: Mapping[str, int], series: Sequence[Series], longest: int) -> Bar:
    total = sum(row.values())
    own = [(each, row.get(each.label, 0)) for each in series if each.colour != SHARED]
    rest = total - sum(count for _, count in own)
    parts = [*own, (Series(OTHERS, SHARED), rest)]
    return Bar(
        name=name,
        total=total,
        width=100 * total / longest if longest else 0.0,
        parts=tuple((each, count, 100 * count / total) for each, count in parts if count > 0),
    )


def _day(series: Series, counts: Sequence[int]) -> Day:
    highest = max(counts)
    return Day(series, sum(counts), tuple(counts), tuple(100 * count / highest for count in counts))


def _cells(truth: str, counts: Sequence[int], classes: Iterable[str]) -> Iterable[Cell]:
    total = sum(counts)
    for predicted, count in zip(classes, counts, strict=True):
        yield Cell(count, count / total if total else 0.0, predicted, predicted == truth)
