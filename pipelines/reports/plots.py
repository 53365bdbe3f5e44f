"""Plots of an evaluation: figures to log with a model, and inline SVG for a page.

They use no global state of pyplot. Labels are never parsed as formulas, so "$a_b$" is shown as it is.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluation.results import ClassMetrics, Evaluation
from pipelines.evaluation.review_policy import is_blank

INK, SOFT, ACCENT, WARN = "#1f2a24", "#5d6861", "#2f6b52", "#a4521c"
# In a page, the colours come from the style sheet, so that they follow its dark mode.
VARIABLES = {INK: "--ink", SOFT: "--soft", ACCENT: "--accent", WARN: "--warn"}
POINT_COLORS = (
    "#3f74a8",
    "#d08a3a",
    "#4c9a68",
    "#b2577c",
    "#8579c4",
    "#4fa9b5",
    "#b3a23c",
    "#8f6a54",
)  # as in style.css
BLANK = "#c3c6be"
MAX_LABEL_LENGTH = 28  # characters


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Plot the confusion matrix: counts, shaded by their fraction of the true class."""
    names = [_shorten(name) for name in evaluation.classes]
    counts = np.array(evaluation.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.45 * len(names)
    figure, axes = _new_axes(side + 0.8, side)
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1.4)  # keeps the numbers readable
    axes.set_xticks(range(len(names)), labels=names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), labels=names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= 20:
        for row, column in zip(*np.nonzero(counts), strict=True):
            number = f"{int(counts[row, column]):,}"
            axes.text(column, row, number, ha="center", va="center", fontsize=8, color=INK)
    return figure


def class_figure(evaluation: Evaluation) -> Figure:
    """Plot precision and recall of each class, with their confidence intervals as lines."""
    names = list(evaluation.per_class)
    figure, axes = _new_axes(6.4, 1.2 + 0.45 * len(names))
    for offset, measure, colour in ((-0.13, "recall", ACCENT), (0.13, "precision", WARN)):
        for i, name in enumerate(names):
            _draw_whisker(axes, evaluation.per_class[name], measure, i + offset, colour)
        axes.plot([], [], "o-", color=colour, label=measure)
    axes.set_yticks(range(len(names)), labels=[_shorten(name) for name in names], parse_math=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 / len(names)), ncols=2, frameon=False)
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """Plot the reliability diagram: accuracy against confidence; the area of a dot is its number of images."""
    filled = [point for point in evaluation.reliability if point.count]
    figure, axes = _new_axes(4.2, 4.2)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    confidences = [point.confidence or 0.0 for point in filled]
    accuracies = [point.accuracy or 0.0 for point in filled]
    largest = max((point.count for point in filled), default=1)
    areas = [14 + 180 * point.count / largest for point in filled]
    axes.scatter(confidences, accuracies, s=areas, color=ACCENT, linewidths=0, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, labels=[f"{tick:.0%}" for tick in ticks])
    axes.set(xlabel="confidence", ylabel="accuracy")
    return figure


def pca_figure(labels: Sequence[str], features: Sequence[Sequence[float]]) -> Figure:
    """Plot one dot per image on the first two principal components of the features, coloured by label."""
    points = np.asarray(features, dtype=np.float64)
    points = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(points, full_matrices=False)
    scores = left[:, :2] * sizes[:2]
    figure, axes = _new_axes(7.6, 4.6)
    names = sorted(set(labels), key=lambda name: (is_blank(name), -labels.count(name), name))
    for colour, name in zip([*POINT_COLORS, *[SOFT] * len(names)], names, strict=False):
        colour = BLANK if is_blank(name) else colour
        is_label = np.array([label == name for label in labels])
        axes.scatter(
            scores[is_label, 0], scores[is_label, 1], s=16, color=colour, alpha=0.75, linewidths=0, label="name"
        )
    explained = (sizes**2 / max((sizes**2).sum(), 1e-12))[:2]
    axes.set(xlabel=f"PC 1, {explained[0]:.0%} of the variance", ylabel=f"PC 2, {explained[1]:.0%}")
    axes.set_xticks([]), axes.set_yticks([])
    if len(names) <= len(POINT_COLORS):
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
        for text, name in zip(
            legend.get_texts(), names, strict=True
        ):  # set afterwards, because matplotlib hides labels such as "_b"
            text.set_parse_math(False)
            text.set_text(_shorten(name))
    return figure


def to_svg(figure: Figure, alt: str) -> str:
    """Return the figure as an inline SVG element that takes colours and font from the page.

    The output is deterministic. `alt` is the text alternative.
    """
    text = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "irbis"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page's own font has it
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    page = text.getvalue()
    box = re.search(r'viewBox="[-\d. ]+"', page)
    body = page[page.index("</defs>", page.index("<svg")) + len("</defs>") :]  # without the global style element
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # ids such as "axes_1" would repeat on the page
    body = re.sub(r"font-family:[^;\"]*|(?<=font: )(\d+px)[^;\"]*", r"\1", body).replace("\n", " ")
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    head = f'<svg class="plot" role="img" {box.group() if box else ""} aria-label="{_escape(alt)}">'
    return head + body.strip()


def _new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(min(width, 14), min(height, 14)), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelcolor=INK, length=3)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _draw_whisker(axes: Axes, metrics: ClassMetrics, measure: str, height: float, colour: str) -> None:
    interval = getattr(metrics, measure)
    if interval.value is None:
        return
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [height, height], color=colour, linewidth=1.5)
    axes.plot([interval.value], [height], "o", color=colour, markersize=5)


def _shorten(label: str) -> str:
    line = " ".join(label.split()) or "(empty)"
    return line if len(line) <= MAX_LABEL_LENGTH else line[: MAX_LABEL_LENGTH - 1] + "…"


def _escape(text: str) -> str:
    pairs = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return "".join(pairs.get(character, character) for character in text)
