"""The parameters of a notebook: plain values in Jupyter, widgets on Databricks, from one source."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from pipelines.config.loader import SourcedValue
from pipelines.config.overrides import SETTING_OPTIONS, collect_settings
from pipelines.errors import SettingsError

YES, NO = ("true", "yes", "1"), ("false", "no", "0")


def parameters(**given: Any) -> dict[str, Any]:
    """Give the parameters by name: as the notebook has them, or on Databricks as its widgets say.

    There each gets a text widget, which begins with the notebook's value and gives back its type; a job sets it with
    `base_parameters`. Raises SettingsError with every widget whose text is not of that type.
    """
    dbutils = _of_the_notebook("dbutils")
    if dbutils is None:
        return given
    found, faults = {}, []
    for name, value in given.items():
        dbutils.widgets.text(name, _written(value), name)  # one that is there keeps its text
        text = dbutils.widgets.get(name)
        try:
            found[name] = parse_as(text, value)
        except ValueError as error:
            faults.append(f"Widget {name} = {text!r}: {error}.")
    if faults:
        raise SettingsError(faults)
    return found


def _of_the_notebook(name: str) -> Any:
    """Give a name that the notebook's own Python knows, such as Databricks' dbutils; None outside of one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell.user_ns.get(name) if shell else None


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_as(text: str, like: Any) -> Any:
    """Give the text as a value of the type that `like` has. Raises ValueError with what was expected."""
    text = text.strip()
    if isinstance(like, bool):
        if text.lower() not in (*YES, *NO):
            raise ValueError("expected true or false")
        return text.lower() in YES
    if isinstance(like, (int, float)):
        try:
            return type(like)(text)
        except ValueError:
            raise ValueError("expected a whole number" if isinstance(like, int) else "expected a number") from None
    return text


def settings_from_parameters(given: Mapping[str, Any]) -> dict[str, SourcedValue]:
    """Give the settings' origins for a notebook's parameters, which are named like options; what is empty says nothing.

    `settings` holds further ones as after --set, separated by spaces.
    """
    named = {name: given[name] for name in SETTING_OPTIONS if given.get(name)}
    return collect_settings(given.get("env") or None, shlex.split(given.get("settings") or ""), named)
