from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import NotebookError
from pipelines.notebooks.requests import list_notebooks, notebooks_dir, resolve_notebook, validate_request

from .notebook_file import write_notebook

ALL = "01_walkthrough, 02_explore_errors, 03_score_new_set"


def faults(name, **texts):
    with pytest.raises(NotebookError) as caught:
        validate_request(name, texts)
    return caught.value.faults


def test_the_notebooks_are_known_by_name_and_title():
    assert ", ".join(list_notebooks()) == ALL
    assert list_notebooks()["03_score_new_set"] == "Score new images"


@pytest.mark.parametrize("name", ["02_explore_errors", "explore_errors", "explore", "02"])
def test_a_notebook_is_found_by_its_name_or_the_beginning_of_it(name):
    assert resolve_notebook(name) == notebooks_dir() / "02_explore_errors.ipynb"


def test_a_notebook_of_ones_own_is_found_by_its_path(tmp_path):
    path = write_notebook(tmp_path / "mine.ipynb", ("parameters", "depth = 3\nname = 'a'  # of mine"))
    assert resolve_notebook(path) == Path(path)
    assert validate_request(path, {"depth": "4"}).parameters == {"depth": 4, "name": "a"}


def test_an_unknown_name_is_answered_with_the_known_ones():
    assert faults("walkabout") == [f"There is no notebook walkabout. Known: {ALL}, or give a path to an .ipynb file."]
    assert faults("0")[0].startswith(f"There are several notebooks 0: {ALL}.")
    assert faults("there/is/none.ipynb") == [f"There is no notebook there/is/none.ipynb. Known: {ALL}, or give a path."]


def test_overrides_have_the_type_of_the_default(tmp_path):
    path = write_notebook(tmp_path / "mine.ipynb", ("parameters", "a = 1\nb = 0.5\nc = True\nd = ''\ne = None"))
    values = validate_request(path, {"a": "2", "b": "3", "c": "no", "d": "007", "e": "[1, two]"}).overrides
    assert values == {"a": 2, "b": 3.0, "c": False, "d": "007", "e": [1, "two"]}
    assert [type(value) for value in values.values()] == [int, float, bool, str, list]


def test_every_wrong_parameter_is_named_at_once_with_what_there_is():
    known = "It takes workspace, gallery_size, label, env, settings."
    assert faults("explore", gallery="3", gallery_size="many", images="new/") == [
        f"Notebook 02_explore_errors: it has no parameter 'gallery'. Did you mean 'gallery_size'? {known}",
        "Notebook 02_explore_errors: gallery_size = 'many': expected a whole number.",
        f"Notebook 02_explore_errors: it has no parameter 'images'. {known}",
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("settings", "train.max_iter=3 azure.account_key=abc=="),
        ("settings", "azure.sas='sv=1&sig=abc'"),
        ("images", "https://a.blob.core.windows.net/c?sv=1&sig=abc"),
    ],
)
def test_a_secret_is_refused_because_the_executed_copy_would_hold_it(key, text):
    (fault,) = faults("score", **{key: text})
    assert f"{key} holds a secret" in fault and "IRBIS_AZURE__SAS" in fault and "abc" not in fault


def test_a_file_that_is_no_notebook_is_reported(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    assert "broken.ipynb cannot be read (Expecting property name" in faults(str(tmp_path / "broken.ipynb"))[0]
