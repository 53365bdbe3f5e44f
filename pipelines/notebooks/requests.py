"""Find a notebook and validate its parameters: a request that can run here or on another backend."""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import NotebookError
from pipelines.notebooks.parameters import parse_as
from pipelines.redaction import is_secret, redact
from pipelines.resources import resource_dir


@dataclass(frozen=True)
class NotebookRequest:
    """A notebook to run: its file, the defaults of all parameters, and the overrides with the defaults' types."""

    file: Path
    defaults: Mapping[str, Any]
    overrides: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters as the notebook will see them."""
        return {**self.defaults, **self.overrides}


def notebooks_dir() -> Path:
    """Return the folder notebooks/ of the checkout or of the installed package."""
    return resource_dir("notebooks")


def list_notebooks() -> dict[str, str]:
    """Return name and title of the notebooks that come with irbis, in order."""
    return {file.stem: _title(file) for file in sorted(notebooks_dir().glob("*.ipynb"))}


def resolve_notebook(name: str) -> Path:
    """Return the file of a notebook, named by path, by name or by the start of its name, with or without its number.

    Raises NotebookError if there is no such notebook, or more than one.
    """
    if name.endswith(".ipynb") or os.sep in name:
        file = Path(name).expanduser()
        if not file.is_file():
            raise NotebookError(f"There is no notebook {name}. Known: {', '.join(list_notebooks())}, or give a path.")
        return file
    names = list_notebooks()
    matches = [known for known in names if name in (known, _without_number(known))]
    matches = matches or [each for each in names if each.startswith(name) or _without_number(each).startswith(name)]
    if len(matches) != 1:
        what = (
            f"There are several notebooks {name}: {', '.join(matches)}" if matches else f"There is no notebook {name}"
        )
        raise NotebookError(f"{what}. Known: {', '.join(names)}, or give a path to an .ipynb file.")
    return notebooks_dir() / f"{matches[0]}.ipynb"


def validate_request(name: str, texts: Mapping[str, str]) -> NotebookRequest:
    """Return the request. Raises NotebookError with every parameter that is unknown or has the wrong type.

    Needs neither a kernel nor papermill, so that requests for other backends are validated here too.
    """
    file = resolve_notebook(name)
    defaults = _read_defaults(file)
    overrides, faults = {}, []
    for key, text in texts.items():
        try:
            overrides[key] = _parse_parameter(key, text, defaults)
        except ValueError as error:
            faults.append(f"Notebook {file.stem}: {error}.")
    if faults:
        raise NotebookError(faults)
    return NotebookRequest(file, defaults, overrides)


def _parse_parameter(key: str, text: str, defaults: Mapping[str, Any]) -> Any:
    """Return the text as a value of the parameter's type. Raises ValueError."""
    if key not in defaults:
        near = difflib.get_close_matches(key, defaults, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"it has no parameter '{key}'.{hint} It takes {', '.join(defaults) or 'none'}")
    named = [word.partition("=") for word in text.split() if "=" in word]
    if redact(text) != text or any(is_secret(name, value) for name, _, value in named):
        remedy = "Set it in the environment, such as IRBIS_AZURE__SAS"
        raise ValueError(f"{key} holds a secret, which the executed copy would contain. {remedy}")
    try:
        return yaml.safe_load(text) if defaults[key] is None else parse_as(text, defaults[key])
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{key} = {text!r}: {' '.join(str(error).split())}") from error


def _read_defaults(file: Path) -> dict[str, Any]:
    """Return the names and values that the cell tagged `parameters` assigns."""
    cells = [cell for cell in _read(file)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    defaults = {}
    for node in ast.parse("".join(cells[0]["source"])).body if cells else []:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defaults[node.targets[0].id] = ast.literal_eval(node.value)
    return defaults


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NotebookError(f"Notebook {file} cannot be read ({' '.join(str(error).split())}).") from error


def _title(file: Path) -> str:
    first = "".join(_read(file)["cells"][0]["source"])
    return first.lstrip("# ").partition("\n")[0]


def _without_number(name: str) -> str:
    return re.sub(r"^\d+_", "", name)
