from __future__ import annotations

import pytest

from pipelines.reports import charts


def test_palette_gives_own_colours_to_the_most_frequent_and_grey_to_blanks_at_the_end():
    counts = {"Blank": 900, "deer": 5, **{f"other {place}": 20 - place for place in range(9)}}
    series = charts.palette(counts)
    assert [each.colour for each in series] == [f"s{place}" for place in range(8)] + ["shared", "shared", "blank"]
    assert (series[0].label, series[-1].label) == ("other 0", "Blank")
    assert [each.label for each in charts.legend(series)][-2:] == ["Blank", "all others"]


def test_bars_are_sorted_and_add_up():
    table = {"S1": {"deer": 1, "fox": 1}, "S2": {"deer": 3, "fox": 1}}
    first, second = charts.bars(table, charts.palette(charts.label_counts(table)))
    assert (first.name, first.total, first.width) == ("S2", 4, 100.0)
    assert [(each.label, count, width) for each, count, width in first.parts] == [("deer", 3, 75.0), ("fox", 1, 25.0)]
    assert (second.name, second.width) == ("S1", 50.0)


def test_labels_without_a_colour_of_their_own_are_put_together():
    table = {"S1": {f"label {place}": 2 for place in range(10)}}
    (bar,) = charts.bars(table, charts.palette(charts.label_counts(table)))
    assert (bar.parts[-1][0].label, bar.parts[-1][1]) == ("all others", 4)


def test_days_have_heights_of_their_own_highest_hour():
    hours = {"deer": (0,) * 6 + (4, 2) + (0,) * 16, "fox": (0,) * 24}
    (day,) = charts.hourly_activity(hours, charts.palette({"deer": 6, "fox": 0}))
    assert (day.total, day.peak, day.heights[6], day.heights[7]) == (6, 6, 100.0, 50.0)


def test_mistakes_are_the_largest_cells_off_the_diagonal(evaluation):
    found = evaluation()
    worst = charts.top_confusions(found)[0]
    row, column = found.classes.index(worst.truth), found.classes.index(worst.prediction)
    assert row != column
    assert worst.count == found.confusion[row][column]
    off = [
        count for place, counts in enumerate(found.confusion) for other, count in enumerate(counts) if place != other
    ]
    assert worst.count == max(off)
    assert worst.share == pytest.approx(worst.count / sum(found.confusion[row]))


def test_blanks_are_no_headline_unless_asked_for(evaluation):
    def names(first):
        return [name for name, _ in charts.headline_classes(evaluation(), first)]

    assert names(()) == ["deer", "ocelot"]
    assert names(("blank", "lynx")) == ["blank"]


def test_rare_mistakes_are_shaded_enough_to_be_seen():
    assert charts.Cell(4, 0.04, "fox", is_right=False).heat == pytest.approx(0.2)
    assert charts.Cell(96, 0.96, "deer", is_right=True).heat == 0.96


def test_classes_of_interest_stand_first(evaluation):
    assert [name for name, _ in charts.ordered_classes(evaluation(), ["ocelot", "lynx"])] == ["ocelot", "blank", "deer"]


def test_the_headline_of_a_class_is_the_largest_share_that_rests_on_enough_groups(reviews):
    results = [*reviews(["deer"], groups=100), *reviews(["fox"], groups=99), *reviews(["hare"], groups=19)]
    found = charts.headline_reviews(results, ["hare", "fox", "deer", "lynx"])
    assert {label: (each.point.unit, each.point.recall) for label, each in found.items()} == {
        "fox": ("image", 0.95),
        "deer": ("image", 0.99),
    }
