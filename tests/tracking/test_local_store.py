from __future__ import annotations

import pytest

from pipelines.errors import ModelError
from pipelines.tracking.local_store import MAX_DESCRIPTION, explain_schema_mismatch, truncate_description


def test_a_card_that_fits_is_the_description():
    card = "x" * MAX_DESCRIPTION
    assert truncate_description(card) == card


def test_a_longer_card_ends_after_a_line_with_its_table_closed():
    card = "# irbis\n\n```\n" + "a row of a table\n" * 400 + "```\n"
    found = truncate_description(card)
    assert MAX_DESCRIPTION - 20 < len(found) <= MAX_DESCRIPTION
    assert found.endswith("\na row of a table\n```\n\nThe full card is in the run: model_card.md")
    assert truncate_description("line\n" * 1001).endswith("\nline\n\nThe full card is in the run: model_card.md")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "out-of-date database schema (found version 0584bdc529eb, but",
            "an older version of MLflow than this one. Copy",
        ),
        (
            "out-of-date database schema (found version ffffffffffff, but",
            "a newer version of MLflow than this one. Upgrade",
        ),
        ("Can't locate revision identified by 'ffffffffffff'", "a newer version of MLflow than this one. Upgrade"),
    ],
)
def test_a_database_of_another_version_of_mlflow_is_told_with_what_to_do(said, told):
    with pytest.raises(ModelError, match=told), explain_schema_mismatch("sqlite:///mlflow.db"):
        raise RuntimeError(said)


def test_other_faults_of_a_database_are_left_as_they_are():
    with pytest.raises(ZeroDivisionError), explain_schema_mismatch(None):
        raise ZeroDivisionError
