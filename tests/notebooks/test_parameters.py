from __future__ import annotations

import pytest

from pipelines.errors import SettingsError
from pipelines.notebooks.parameters import parameters

DEFAULTS = {"workspace": "here", "images": 12, "share": 0.5, "flip": False}


class Widgets:
    """Stub of dbutils.widgets: text widgets with the text that a user or a job has set."""

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
    """Yield the IPython shell of a notebook's kernel."""
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell", reason="needs IPython")
    shell = interactiveshell.InteractiveShell.instance()
    yield shell
    interactiveshell.InteractiveShell.clear_instance()


def test_in_jupyter_the_parameters_are_those_of_the_cell(shell):
    assert parameters(**DEFAULTS) == DEFAULTS


def test_outside_of_a_notebook_too():
    assert parameters(**DEFAULTS) == DEFAULTS


def test_on_databricks_each_gets_a_widget_with_the_cells_value_as_default(shell):
    shell.user_ns["dbutils"] = dbutils = Dbutils()
    assert parameters(**DEFAULTS) == DEFAULTS
    assert dbutils.widgets.texts == {"workspace": "here", "images": "12", "share": "0.5", "flip": "false"}
    assert dbutils.widgets.labels == {name: name for name in DEFAULTS}


def test_the_widgets_text_wins_and_has_the_type_of_the_cells_value(shell):
    shell.user_ns["dbutils"] = Dbutils(workspace=" /Volumes/a ", images="24", share="1", flip="True")
    values = parameters(**DEFAULTS)
    assert values == {"workspace": "/Volumes/a", "images": 24, "share": 1.0, "flip": True}
    assert [type(value) for value in values.values()] == [str, int, float, bool]


def test_every_widget_that_cannot_be_converted_is_named_at_once(shell):
    shell.user_ns["dbutils"] = Dbutils(images="many", share="half", flip="perhaps")
    with pytest.raises(SettingsError) as caught:
        parameters(**DEFAULTS)
    assert caught.value.faults == [
        "Widget images = 'many': expected a whole number.",
        "Widget share = 'half': expected a number.",
        "Widget flip = 'perhaps': expected true or false.",
    ]
