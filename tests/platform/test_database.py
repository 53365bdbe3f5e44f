from __future__ import annotations

from pipelines.platform.database import DESCRIPTION, description


def test_a_card_that_fits_is_the_description():
    card = "x" * DESCRIPTION
    assert description(card) == card


def test_a_longer_card_ends_after_a_line_with_its_table_closed():
    card = "# irbis\n\n```\n" + "a row of a table\n" * 400 + "```\n"
    found = description(card)
    assert DESCRIPTION - 20 < len(found) <= DESCRIPTION
    assert found.endswith("\na row of a table\n```\n\nThe rest stands in the run: model_card.md")
    assert description("line\n" * 1001).endswith("\nline\n\nThe rest stands in the run: model_card.md")
