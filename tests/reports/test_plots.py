from __future__ import annotations

import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest

from pipelines.reports.plots import class_figure, confusion_figure, pca_figure, reliability_figure, to_svg

FIGURES = [confusion_figure, class_figure, reliability_figure]


def test_confusion_figure_holds_the_counts(evaluation):
    found = evaluation()
    axes = confusion_figure(found).axes[0]
    written = {tuple(reversed(each.get_position())): int(each.get_text()) for each in axes.texts}
    expected = {
        (row, column): count for row, counts in enumerate(found.confusion) for column, count in enumerate(counts)
    }
    assert written == {place: count for place, count in expected.items() if count}


def test_class_figure_draws_the_intervals(evaluation):
    found = evaluation()
    lines = [tuple(line.get_xdata()) for line in class_figure(found).axes[0].lines]
    recall = found.per_class["deer"].recall
    assert (recall.low, recall.high) in lines
    assert (recall.value,) in lines


def test_reliability_figure_has_a_dot_for_each_filled_bin(evaluation):
    found = evaluation()
    dots = np.asarray(reliability_figure(found).axes[0].collections[0].get_offsets())
    assert dots == pytest.approx(
        np.array([(each.confidence, each.accuracy) for each in found.reliability if each.count])
    )


@pytest.mark.parametrize("figure", FIGURES)
def test_svg_is_the_same_each_time_and_fetches_nothing(figure, evaluation):
    first, second = (to_svg(figure(evaluation()), "a plot") for _ in range(2))
    assert first == second
    assert "http" not in first
    assert "<style" not in first
    assert first.startswith('<svg class="plot" role="img" viewBox="0 0 ')
    assert "var(--ink, #1f2a24)" in first


def test_labels_are_text_and_never_formulas(evaluation, hostile):
    drawn = to_svg(confusion_figure(evaluation(hostile)), hostile[1])
    texts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = texts.append  # type: ignore[method-assign]
    parser.feed(drawn)
    assert [each.strip() for each in texts].count("a$b_c$ ^{x}") == 2  # on both axes
    assert any("<script>document.title=" in each for each in texts)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert max(len(each.strip()) for each in texts) <= 28
    assert 'aria-label="&quot;&gt;&lt;img src=x' in drawn


def test_settings_of_matplotlib_stay_as_they_were(evaluation):
    before = dict(matplotlib.rcParams)
    to_svg(reliability_figure(evaluation()), "a plot")
    assert dict(matplotlib.rcParams) == before


def test_figures_can_be_saved_as_png(tmp_path, evaluation):
    for figure in FIGURES:
        figure(evaluation(("deer",))).savefig(tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_class_that_was_never_met_is_left_blank(evaluation):
    found = evaluation(("blank", "deer", "ocelot"), rows=2)
    drawn = to_svg(class_figure(found), "a plot")
    assert len(re.findall(r">ocelot<", drawn)) == 1


def test_the_map_puts_like_features_together_along_the_direction_in_which_they_differ_most():
    features = [[0, 0, 5], [0, 1, 5], [9, 0, 5], [9, 1, 5]]
    figure = pca_figure(["$a$", "$a$", "_b", "_b"], features)
    (axes,) = figure.axes
    first, second = (each.get_offsets() for each in axes.collections)
    assert sorted(abs(first[:, 0] - second[:, 0])) == pytest.approx([9, 9])
    assert abs(first[0, 1] - first[1, 1]) == pytest.approx(1)
    assert axes.get_xlabel() == "PC 1, 99% of the variance"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["$a$", "_b"]
