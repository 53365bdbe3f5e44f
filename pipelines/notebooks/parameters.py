"""Notebook parameters: plain values in Jupyter, widgets on Databricks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from pipelines.config.loader import SourcedValue
from pipelines.config.overrides import SETTING_OPTIONS, collect_settings
from pipelines.errors import SettingsError

YES, NO = ("true", "yes", "1"), ("false", "no", "0")


def parameters(**defaults: Any) -> dict[str, Any]:
    """Return the parameters by name: the notebook's own values in Jupyter, those of its widgets on Databricks.

    On Databricks each parameter gets a text widget with the notebook's value as default; its text is converted to
    the type of that value, and a job sets it with `base_parameters`. Raises SettingsError with every widget whose
    text cannot be converted.
    """
    dbutils = _notebook_global("dbutils")
    if dbutils is None:
        return defaults
    values, faults = {}, []
    for name, default in defaults.items():
        dbutils.widgets.text(name, _as_text(default), name)  # an existing widget keeps its text
        text = dbutils.widgets.get(name)
        try:
            values[name] = parse_as(text, default)
        except ValueError as error:
            faults.append(f"Widget {name} = {text!r}: {error}.")
    if faults:
        raise SettingsError(faults)
    return values


def _notebook_global(name: str) -> Any:
    """Return a global of the running notebook, such as Databricks' dbutils; None outside of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell.user_ns.get(name) if shell else None


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_as(text: str, like: Any) -> Any:
    """Return the text as a value of the type of `like`. Raises ValueError with what was expected."""
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


def sourced_values(values: Mapping[str, Any]) -> dict[str, SourcedValue]:
    """Return the settings with their sources for a notebook's parameters, which are named like options.

    `settings` holds further settings as for --set, separated by spaces. Empty values are ignored.
    """
    named = {name: values[name] for name in SETTING_OPTIONS if values.get(name)}
    return collect_settings(values.get("env") or None, shlex.split(values.get("settings") or ""), named)
