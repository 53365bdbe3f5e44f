"""Find a notebook and check what it is given: an order that is sound, to be executed here or sent elsewhere."""

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
    """Hold a notebook that is to run: its file, all parameters that it takes, and those given, typed as they are."""

    file: Path
    defaults: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def parameters(self) -> dict[str, Any]:
        """Give all parameters as the notebook will have them."""
        return {**self.defaults, **self.given}


def notebooks_folder() -> Path:
    """Find notebooks/, wherever the package is."""
    return resource_dir("notebooks")


def list_notebooks() -> dict[str, str]:
    """Give the notebooks that come with irbis: name and title, in their order."""
    return {file.stem: _title(file) for file in sorted(notebooks_folder().glob("*.ipynb"))}


def resolve_notebook(name: str) -> Path:
    """Give the file of a notebook by its path, its name, or the beginning of that, with or without its number."""
    if name.endswith(".ipynb") or os.sep in name:
        file = Path(name).expanduser()
        if not file.is_file():
            raise NotebookError(f"There is no notebook {name}. Known: {', '.join(list_notebooks())}, or give a path.")
        return file
    found = [each for each in list_notebooks() if name in (each, _unnumbered(each))]
    found = found or [each for each in list_notebooks() if each.startswith(name) or _unnumbered(each).startswith(name)]
    if len(found) != 1:
        what = f"There are several notebooks {name}: {', '.join(found)}" if found else f"There is no notebook {name}"
        raise NotebookError(f"{what}. Known: {', '.join(list_notebooks())}, or give a path to an .ipynb file.")
    return notebooks_folder() / f"{found[0]}.ipynb"


def validate_request(name: str, texts: Mapping[str, str]) -> NotebookRequest:
    """Give what is to be run. Raises NotebookError with every parameter that the notebook does not take, or not so.

    It takes no kernel and no papermill: whoever runs it, here or elsewhere, gets an order that is sound.
    """
    file = resolve_notebook(name)
    defaults = _defaults(file)
    given, faults = {}, []
    for key, text in texts.items():
        try:
            given[key] = _checked(key, text, defaults)
        except ValueError as error:
            faults.append(f"Notebook {file.stem}: {error}.")
    if faults:
        raise NotebookError(faults)
    return NotebookRequest(file, defaults, given)


def _checked(key: str, text: str, defaults: Mapping[str, Any]) -> Any:
    """Give the text as a value of its parameter's type. Raises ValueError."""
    if key not in defaults:
        near = difflib.get_close_matches(key, defaults, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"it has no parameter '{key}'.{hint} It takes {', '.join(defaults) or 'none'}")
    named = [word.partition("=") for word in text.split() if "=" in word]
    if redact(text) != text or any(is_secret(name, value) for name, _, value in named):
        way = "Give it in the environment, such as IRBIS_AZURE__SAS"
        raise ValueError(f"{key} holds a secret, which would stand in the executed copy. {way}")
    try:
        return yaml.safe_load(text) if defaults[key] is None else parse_as(text, defaults[key])
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{key} = {text!r}: {' '.join(str(error).split())}") from error


def _defaults(file: Path) -> dict[str, Any]:
    """Give the names and values that the cell tagged `parameters` assigns."""
    cells = [cell for cell in _read(file)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    found = {}
    for line in ast.parse("".join(cells[0]["source"])).body if cells else []:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            found[line.targets[0].id] = ast.literal_eval(line.value)
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NotebookError(f"Notebook {file} cannot be read ({' '.join(str(error).split())}).") from error


def _title(file: Path) -> str:
    first = "".join(_read(file)["cells"][0]["source"])
    return first.lstrip("# ").partition("\n")[0]


def _unnumbered(name: str) -> str:
    return re.sub(r"^\d+_", "", name)
