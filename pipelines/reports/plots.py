"""Plots of an evaluation: figures to log beside a model, and inline SVG for a page.

No global state of pyplot; labels are never read as formulas, so "$a_b$" stays as it is.
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

INK, SOFT, ACCENT, WARN, PAPER = "#1f2a24", "#5d6861", "#2f6b52", "#a4521c", "#ffffff"
# In a page the style sheet decides on colours, so that they follow its dark mode.
VARIABLES = {INK: "--ink", SOFT: "--soft", ACCENT: "--accent", WARN: "--warn"}
DOTS = ("#3f74a8", "#d08a3a", "#4c9a68", "#b2577c", "#8579c4", "#4fa9b5", "#b3a23c", "#8f6a54")  # as in style.css
BLANK = "#c3c6be"
LONGEST = 28  # characters of a label


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Give the confusion matrix: counts, shaded by the share of each true class."""
    names = [_shown(name) for name in evaluation.classes]
    counts = np.array(evaluation.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.45 * len(names)
    figure, axes = _blank(side + 0.8, side)
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1.4)  # no cell too dark for its number
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
    """Give precision and recall of each class, with their intervals as lines."""
    names = list(evaluation.per_class)
    figure, axes = _blank(6.4, 1.2 + 0.45 * len(names))
    for offset, measure, colour in ((-0.13, "recall", ACCENT), (0.13, "precision", WARN)):
        for place, name in enumerate(names):
            _whisker(axes, evaluation.per_class[name], measure, place + offset, colour)
        axes.plot([], [], "o-", color=colour, label=measure)
    axes.set_yticks(range(len(names)), labels=[_shown(name) for name in names], parse_math=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 / len(names)), ncols=2, frameon=False)
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """Give how often the model is right against how sure it is; the area of a dot is its count of images."""
    filled = [each for each in evaluation.reliability if each.count]
    figure, axes = _blank(4.2, 4.2)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    sure = [each.confidence or 0.0 for each in filled]
    right = [each.accuracy or 0.0 for each in filled]
    most = max((each.count for each in filled), default=1)
    areas = [14 + 180 * each.count / most for each in filled]
    axes.scatter(sure, right, s=areas, color=ACCENT, linewidths=0, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, labels=[f"{tick:.0%}" for tick in ticks])
    axes.set(xlabel="how sure the model is", ylabel="how often it is right")
    return figure


def pca_figure(labels: Sequence[str], features: Sequence[Sequence[float]]) -> Figure:
    """Give a dot for each image along the two main directions of the features (principal components)."""
    points = np.asarray(features, dtype=np.float64)
    points = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(points, full_matrices=False)
    places = left[:, :2] * sizes[:2]
    figure, axes = _blank(7.6, 4.6)
    names = sorted(set(labels), key=lambda name: (is_blank(name), -labels.count(name), name))
    for colour, name in zip([*DOTS, *[SOFT] * len(names)], names, strict=False):
        colour = BLANK if is_blank(name) else colour
        chosen = np.array([label == name for label in labels])
        axes.scatter(places[chosen, 0], places[chosen, 1], s=16, color=colour, alpha=0.75, linewidths=0, label="name")
    share = (sizes**2 / max((sizes**2).sum(), 1e-12))[:2]
    axes.set(xlabel=f"first direction, {share[0]:.0%} of the variance", ylabel=f"second, {share[1]:.0%}")
    axes.set_xticks([]), axes.set_yticks([])
    if len(names) <= len(DOTS):
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
        for text, name in zip(legend.get_texts(), names, strict=True):  # afterwards: "_b" would be left out
            text.set_parse_math(False)
            text.set_text(_shown(name))
    return figure


def svg(figure: Figure, alt: str) -> str:
    """Give the figure as an inline SVG element that takes its colours and font from the page.

    The same figure gives the same text. `alt` says in words what is to be seen.
    """
    text = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "irbis"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page's font will have it
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    page = text.getvalue()
    box = re.search(r'viewBox="[-\d. ]+"', page)
    body = page[page.index("</defs>", page.index("<svg")) + len("</defs>") :]  # leave the style for all elements
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # "axes_1" would be in every plot of the page
    body = re.sub(r"font-family:[^;\"]*|(?<=font: )(\d+px)[^;\"]*", r"\1", body).replace("\n", " ")
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    head = f'<svg class="plot" role="img" {box.group() if box else ""} aria-label="{_escaped(alt)}">'
    return head + body.strip()


def _blank(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(min(width, 14), min(height, 14)), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelcolor=INK, length=3)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _whisker(axes: Axes, figures: ClassMetrics, measure: str, height: float, colour: str) -> None:
    found = getattr(figures, measure)
    if found.value is None:
        return
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [height, height], color=colour, linewidth=1.5)
    axes.plot([found.value], [height], "o", color=colour, markersize=5)


def _shown(label: str) -> str:
    line = " ".join(label.split()) or "(empty)"
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _escaped(text: str) -> str:
    pairs = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return "".join(pairs.get(character, character) for character in text)
