from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest

from pipelines.reports.contents import DataSummary, ImageCard, LabelErrorSummary, ReportContents
from pipelines.reports.render import render

from .page import Page


def empty(**changes) -> ReportContents:
    return ReportContents("Nothing yet", datetime(2026, 11, 21), "/surveys", "0.1.0", **changes)


@pytest.mark.parametrize("kind", ["plain", "hostile", "empty"])
def test_page_is_one_sound_file_that_fetches_and_runs_nothing(kind, contents, hostile):
    source = render({"plain": contents(), "hostile": contents(hostile), "empty": empty()}[kind])
    page = Page(source)
    assert page.faults == []
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    assert all(value.startswith("#") for key in ("href", "xlink:href") for value in page.values(key))
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert not re.search(r"url\(\s*['\"]?(?!#)", source)
    style = source[source.index("<style>") : source.index("</style>")]
    assert "@import" not in style
    assert "http" not in style
    anchors = set(page.values("id"))
    assert {value[1:] for value in page.values("href")} <= anchors
    assert len(page.values("id")) == len(anchors)


def test_hostile_names_are_shown_as_text(contents, hostile):
    page = Page(render(contents(hostile)))
    for name in hostile:
        assert name in page.text
        assert name in page.values("title")
    assert "{{ 7 * 7 }}" in page.text


def test_a_box_is_drawn_on_its_thumbnail_and_said_to_be_where_the_model_looks(contents):
    page = Page(render(contents()))
    assert set(page.values("viewbox")) >= {"0 0 133.33 100"}
    expected = {"x": "33.33", "y": "50.00", "width": "16.67", "height": "25.00"}
    assert all(value in page.values(key) for key, value in expected.items())
    assert "where the model looks for ocelot" in page.text
    without = contents(most_wrong=(), least_confident=(), most_confident={}, label_errors=None)
    assert "where the model looks" not in Page(render(without)).text


def test_characters_that_no_page_may_hold_are_replaced():
    given = empty(least_confident=(ImageCard("bad\x00\x1b name\udcff.jpg", prediction="deer\x07"),))
    text = Page(render(given)).text
    assert "bad␀␛ name\\udcff.jpg" in text
    assert "deer␇" in text


def test_review_shares_of_a_model_without_operating_points_are_said_to_be_optimistic(contents, evaluation):
    deer = evaluation().per_class["deer"].review_share_99
    text = Page(render(contents(reviews=()))).text
    assert f"deer {100 * deer.value:.1f} % {100 * deer.low:.1f} to {100 * deer.high:.1f} %" in text
    assert "The threshold is chosen on the images it is measured on" in text
    assert "Thresholds were chosen on" not in text


def test_figures_stand_in_the_order_of_their_worth(contents, evaluation):
    found = evaluation()
    text = Page(render(contents(evaluation=found))).text
    said = [
        "Summary",
        "deer 56.0 % 46.0 to 66.0 % of all images need review for a recall of 99 %;",
        "on test, recall was 90.6 % of 46. For 95 %: 57.0 %.",
        f"Balanced accuracy {100 * found.metrics['balanced_accuracy'].value:.1f} %",
        "Measured on 200 test images of 40 groups that were not used for training",
        "grouped by encounter",
        "Thresholds were chosen on held-out groups",
        "99 % of its images 50.0 % 40.0 to 60.0 %90.0 % 40 0.25020",
        "Confusion matrix",
        "Metrics by class",
        "Most confident errors",
        "Least confident predictions",
        "By station",
        "By hour of the day",
        "Files1,205",
        "Images that cannot be used",
        "irbis 0.1.0",
    ]
    assert [each for each in said if each not in text] == []
    places = [text.index(each) for each in said]
    assert places == sorted(places)


def test_what_rests_on_too_few_groups_is_no_headline_and_said_to_be_unused(contents, reviews):
    names = ("blank", "deer", "ocelot")
    page = Page(render(contents(reviews=tuple(reviews(names, groups=12)))))
    text = page.text
    assert page.faults == [] and "All 18 operating points" in text
    short, _, rest = text.partition("Measured on 200 test images")
    assert "of all images need review" not in short
    assert "deer (12 of 20)" in short
    assert rest.count("too few groups (12 of 100): not used") == rest.count("too few groups (12 of 20): not used") == 9
    text = Page(render(contents(reviews=tuple(reviews(names, groups=99))))).text
    assert "deer 57.0 % 47.0 to 67.0 % of all images need review for a recall of 95 %" in text
    assert "For 99 %, too few groups of this class were held out (99 of 100)." in text
    assert text.count("too few groups (99 of 100): not used") == 9 and "All 18 operating points" not in text
    few = tuple(reviews(["deer"], groups=12))
    both = Page(render(contents(reviews=few, classes_of_interest=("deer", "ocelot")))).text
    assert "a review share: deer (12 of 20), ocelot (none). They do not dismiss images" in both


def test_units_with_equal_results_are_left_out(contents, reviews):
    def same(review):
        first = next(each for each in full if each.point.recall == review.point.recall)
        return replace(first, point=replace(first.point, unit=review.point.unit))

    full = tuple(reviews(["deer"]))
    text = Page(render(contents(reviews=tuple(map(same, full))))).text
    assert "of its images" in text and "of its bursts" not in text and "of its groups" not in text
    assert "A burst or group is found if" not in text
    text = Page(render(contents(reviews=full))).text
    assert "of its bursts" in text and "of its groups" in text and "A burst or group is found if" in text


def test_figures_of_cross_validation_are_said_to_be_of_it_with_their_caveats(contents):
    caveats = ("The figures are of <5-fold> cross-validation.", "An owl was not evaluated.")
    page = Page(render(contents(folds=5, caveats=caveats)))
    assert page.faults == []
    assert (
        "Measured by 5-fold cross-validation on 200 images of 40 groups: each image was predicted by a model"
        in page.text
    )
    for sentence in (*caveats, "Cross-validation, bursts aggregated", "mean over classes by 5-fold cross-validation."):
        assert sentence in page.text
    assert "by cross-validation, recall was" in page.text and "2 caveats are listed in Evaluation." in page.text
    metrics = page.text[page.text.index("Measured by 5-fold") : page.text.index("Most confident errors")]
    assert not re.search(r"\b[Tt]est\b", metrics)
    assert "caveat" not in Page(render(contents())).text


def test_confusion_matrix_holds_the_counts(contents, evaluation):
    found = evaluation()
    page = render(contents(evaluation=found))
    table = page[page.index('<table class="confusion">') :]
    cells = re.findall(r'<td class="(?:hit|miss)"[^>]*>(?:<span[^>]*>)?([\d,]+)', table[: table.index("</table>")])
    assert [int(each) for each in cells] == [count for row in found.confusion for count in row]


def test_empty_report_says_what_to_do():
    text = Page(render(empty())).text
    for sentence in (
        "There are no metrics yet",
        "Provide labels (setting sources.labels), then run irbis train",
        "There is no evaluation",
        "No images have been scored yet. Run irbis score",
        "No images have been read yet. Run irbis ingest",
        "No model has been trained yet. Run irbis train.",
        "There is no ranking of the labels. Run irbis train, then irbis report.",
    ):
        assert sentence in text
    assert not {"svg", "table"} & set(Page(render(empty())).tags)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"by_station": {}}, "No scored image has a station."),
        ({"by_hour": {}}, "No scored image has a time."),
        ({"by_hour": {"deer": (0,) * 24}}, "No scored image has a time."),
        ({"label_errors": LabelErrorSummary("cleanlab", 1)}, "No label is suspected among the 1 checked image, or"),
        ({"most_wrong": ()}, "this page shows no images of them"),
        ({"least_confident": ()}, "There are no predictions."),
        ({"data": DataSummary(3, 3, 3)}, "No image has a label."),
        ({"data": DataSummary(3, 3, 3)}, "All files could be read."),
        ({"evaluation": lambda made: made(("deer",))}, "only one class"),
        ({"evaluation": lambda made: made(("deer",)), "most_wrong": ()}, "No test image was predicted wrongly."),
        ({"classes_of_interest": ("lynx",)}, "No test image is labelled lynx"),
        ({"evaluation": lambda made: replace(made(), groups=200)}, "Every image is its own"),
        ({"classes_of_interest": ("ocelot",), "reviews": ()}, "Measured on only 60 images: 99 % means all of them"),
    ],
)
def test_missing_part_is_a_sentence(change, sentence, contents, evaluation):
    given = {key: value(evaluation) if callable(value) else value for key, value in change.items()}
    page = Page(render(contents(**given)))
    assert sentence in page.text
    assert page.faults == []


def test_suspected_label_errors_show_both_labels_and_the_self_confidence(contents):
    page = Page(render(contents()))
    card = "labelled blank suggested deer self-confidence 2.1\N{NARROW NO-BREAK SPACE}%"
    assert "believe least, ranked when ocelot/7 was trained; 880 labelled images ranked, 20 could not be." in page.text
    assert "irbis review --queue suspects shows all those of the version that was trained last." in page.text
    assert page.text.count(card.replace("\N{NARROW NO-BREAK SPACE}", " ")) + page.text.count(card) == 1
    assert "#labels" in page.values("href")


def test_image_that_a_browser_would_have_to_fetch_is_not_shown(contents):
    page = render(contents())
    assert "example.org" not in page
    assert page.count("no preview") == 2


def test_many_labels_and_stations_stay_readable(contents, evaluation):
    names = tuple(f"class {place:02d}" for place in range(40))
    stations = {f"S{place}": {names[place]: 3} for place in range(40)}
    page = Page(render(contents(names, evaluation=evaluation(names, 2000), by_station=stations)))
    assert page.faults == []
    assert "15 more stations" in page.text
    assert all(f"S{place}" in page.text.split() for place in range(40))
    assert "All 40 classes as a matrix" in page.text
    assert "all others" in page.text


def test_same_contents_give_the_same_page(contents):
    assert render(contents()) == render(contents())
