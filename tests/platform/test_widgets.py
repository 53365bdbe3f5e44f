from __future__ import annotations

import pytest

from pipelines.errors import SettingsError
from pipelines.notebooks.parameters import parameters

GIVEN = {"workspace": "here", "images": 12, "share": 0.5, "mirror": False}


class Widgets:
    """Stand in for dbutils.widgets: text widgets that keep what was typed or what a job gave."""

    def __init__(self, typed):
        self.texts, self.labels = dict(typed), {}

    def text(self, name, default, label):
        self.texts.setdefault(name, default)
        self.labels[name] = label

    def get(self, name):
        return self.texts[name]


class Dbutils:
    def __init__(self, **typed):
        self.widgets = Widgets(typed)


@pytest.fixture
def shell():
    """Give the IPython shell that a notebook's kernel has."""
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell", reason="needs IPython")
    shell = interactiveshell.InteractiveShell.instance()
    yield shell
    interactiveshell.InteractiveShell.clear_instance()


def test_in_jupyter_the_parameters_are_what_the_cell_says(shell):
    assert parameters(**GIVEN) == GIVEN


def test_outside_of_a_notebook_too():
    assert parameters(**GIVEN) == GIVEN


def test_on_databricks_each_gets_a_widget_that_begins_with_the_cells_value(shell):
    shell.user_ns["dbutils"] = dbutils = Dbutils()
    assert parameters(**GIVEN) == GIVEN
    assert dbutils.widgets.texts == {"workspace": "here", "images": "12", "share": "0.5", "mirror": "false"}
    assert dbutils.widgets.labels == {name: name for name in GIVEN}


def test_what_the_widgets_say_wins_and_has_the_type_of_the_cells_value(shell):
    shell.user_ns["dbutils"] = Dbutils(workspace=" /Volumes/a ", images="24", share="1", mirror="True")
    found = parameters(**GIVEN)
    assert found == {"workspace": "/Volumes/a", "images": 24, "share": 1.0, "mirror": True}
    assert [type(value) for value in found.values()] == [str, int, float, bool]


def test_every_widget_that_cannot_be_is_named_at_once(shell):
    shell.user_ns["dbutils"] = Dbutils(images="many", share="half", mirror="perhaps")
    with pytest.raises(SettingsError) as caught:
        parameters(**GIVEN)
    assert caught.value.faults == [
        "Widget images = 'many': expected a whole number.",
        "Widget share = 'half': expected a number.",
        "Widget mirror = 'perhaps': expected true or false.",
    ]
