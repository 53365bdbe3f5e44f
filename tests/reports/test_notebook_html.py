from __future__ import annotations

import re

from pipelines.evaluation.results import Interval
from pipelines.reports import notebook_html
from pipelines.reports.contents import Conflict, ImageCard
from pipelines.reports.notebook_html import SCOPED, Rate


def shown(fragment):
    """Return the text that a reader of the HTML sees."""
    return " ".join(re.sub(r"<[^>]+>", " ", fragment.html).replace("\N{NARROW NO-BREAK SPACE}", " ").split())


def test_every_rule_of_the_style_is_kept_to_fragments():
    sheet = re.sub(r"@media[^{]+\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1", notebook_html.stylesheet())
    heads = [head.strip() for head in re.findall(r"([^{}]+)\{[^{}]*\}", sheet)]
    assert len(heads) > 100
    for head in heads:
        assert all(selector.strip().startswith(SCOPED) for selector in head.split(",")), head
    assert not re.search("prefers-color-scheme|@media print|@import|http", notebook_html.stylesheet())


def test_a_fragment_brings_its_style_along_and_a_terminal_gets_the_text():
    piece = notebook_html.table(["Label", "Images"], [["fox", 1200]]) + notebook_html.paragraph("That is all.")
    page = piece._repr_html_()
    assert page.startswith('<div class="irbis"><style>') and page.count("<style>") == 1
    assert repr(piece) == "Label  Images\nfox    1200\nThat is all."


def test_a_table_writes_numbers_with_commas_and_shares_as_per_cent():
    piece = notebook_html.table(["Label", "Images", "Share"], [["fox", 1200, 0.125], [None, 0, 1.0]])
    assert shown(piece) == "Label Images Share fox 1,200 12.5 % – 0 100.0 %"
    assert piece.html.count('class="number"') == 6
    assert shown(notebook_html.table(["Label"], [], "There is none.")) == "There is none."


def test_every_image_of_a_gallery_is_there_however_many(contents):
    image = contents().most_wrong[0]
    piece = notebook_html.gallery([image] * 40)
    assert piece.html.count("<figure") == piece.html.count("<img") == 40 and "<details" not in piece.html
    assert shown(notebook_html.gallery([], "No image needs a look.")) == "No image needs a look."


def test_images_are_neither_right_nor_wrong_before_they_are_scored():
    as_read = notebook_html.gallery([ImageCard("/a/b.jpg", label="fox")]).html
    assert "labelled" in as_read and 'class="wrong"' not in as_read and 'class="right"' not in as_read
    assert 'class="wrong"' in notebook_html.gallery([ImageCard("/a/b.jpg", label="fox", prediction="hare")]).html
    assert 'class="right"' in notebook_html.gallery([ImageCard("/a/b.jpg", label="fox", prediction="fox")]).html


def test_foreign_text_is_never_markup(contents, evaluation, hostile):
    images = contents(hostile).most_wrong
    pieces = [
        notebook_html.gallery(images),
        notebook_html.galleries([(hostile[-1], images)]),
        notebook_html.table(hostile[:2], [hostile[:2]]),
        notebook_html.rate_table(hostile[0], hostile[1], [Rate(hostile[-1], 3, 1, Interval(0.3))], ""),
        notebook_html.stat_tiles([(hostile[0], hostile[1])]),
        notebook_html.confusion(evaluation(hostile)),
        notebook_html.label_conflicts(hostile[0], [Conflict(hostile[:2], hostile[1:3])], ""),
        notebook_html.paragraph(hostile[-1]),
        notebook_html.preformatted(hostile[-1]),
        *(
            notebook_html.section(contents(hostile), name)
            for name in ("short", "evaluation", "data", "counts", "model")
        ),
    ]
    for piece in pieces:
        assert not re.search(r"<script|<img src=x|</style|</title", piece.html), piece.text


def test_a_section_is_that_of_the_report(contents):
    assert "1,205" in shown(notebook_html.section(contents(), "data"))
    assert "Confusion matrix" in shown(notebook_html.section(contents(), "evaluation"))


def test_rates_show_counts_share_and_interval():
    rows = [Rate("S1", 20, 5, Interval(0.25, 0.1, 0.4)), Rate("S2", 3, 0, Interval(0.0))]
    piece = notebook_html.rate_table("Station", "Wrong", rows, "None.")
    assert shown(piece) == "Station Images Wrong Rate, 95&nbsp;% interval S1 20 5 25.0 % 10.0 to 40.0 % S2 3 0 0.0 %"
    assert "left:10.00%;width:30.00%" in piece.html
    assert piece.text == "S1  5 of 20  0.25 (0.10 to 0.40)\nS2  0 of 3   0.00"
    assert notebook_html.share_tiles("Wrong", Interval(0.5, 0.25, 0.75)) == [
        ("Wrong", "50.0\N{NARROW NO-BREAK SPACE}%"),
        ("95 % interval", "25.0 to 75.0\N{NARROW NO-BREAK SPACE}%"),
    ]
