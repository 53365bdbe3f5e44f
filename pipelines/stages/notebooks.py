"""Notebooks as jobs: find one, check its parameters, run it in a kernel of this Python, keep the executed copy."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

import pipelines
from pipelines.config import SECRET_NAME, masked
from pipelines.errors import NotebookError, PlatformError
from pipelines.platform.widgets import typed
from pipelines.settings import Settings
from pipelines.stages.result import Clock, duration
from pipelines.storage.files import write_local
from pipelines.storage.tables import workspace_of

FOLDER = "notebooks"  # in the workspace
KERNEL = "python3"
NEEDED = ("papermill", "ipykernel", "nbconvert")
PLAIN_PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}"""  # the page fetches nothing: all it shows is in it


@dataclass(frozen=True)
class Order:
    """Hold a notebook that is to run: its file, all parameters that it takes, and those given, typed as they are."""

    file: Path
    defaults: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.file.stem

    def value(self, name: str) -> Any:
        return self.given.get(name, self.defaults.get(name))


@dataclass(frozen=True)
class Executed:
    """Hold where the executed copy and its page are, how many cells ran, and how long that took."""

    name: str
    copy: str
    page: str
    cells: int
    seconds: float

    def closing_line(self) -> str:
        cells = f"{self.cells} cell{'' if self.cells == 1 else 's'}"
        return f"notebook: {self.name}, {cells} run, {duration(self.seconds)}; {self.page} and {self.copy}"


def notebooks_folder() -> Path:
    """Find notebooks/: inside the installed package, else beside it in a checkout."""
    inside = Path(str(resources.files("pipelines"))) / "notebooks"
    return inside if inside.is_dir() else Path(pipelines.__file__).resolve().parents[1] / "notebooks"


def known() -> dict[str, str]:
    """Give the notebooks that come with irbis: name and title, in their order."""
    return {file.stem: _title(file) for file in sorted(notebooks_folder().glob("*.ipynb"))}


def find(name: str) -> Path:
    """Give the file of a notebook by its path, its name, or the beginning of that, with or without its number."""
    if name.endswith(".ipynb") or os.sep in name:
        file = Path(name).expanduser()
        if not file.is_file():
            raise NotebookError(f"There is no notebook {name}. Known: {', '.join(known())}, or give a path.")
        return file
    found = [each for each in known() if name in (each, _unnumbered(each))]
    found = found or [each for each in known() if each.startswith(name) or _unnumbered(each).startswith(name)]
    if len(found) != 1:
        what = f"There are several notebooks {name}: {', '.join(found)}" if found else f"There is no notebook {name}"
        raise NotebookError(f"{what}. Known: {', '.join(known())}, or give a path to an .ipynb file.")
    return notebooks_folder() / f"{found[0]}.ipynb"


def order(name: str, texts: Mapping[str, str]) -> Order:
    """Give what is to be run. Raises NotebookError with every parameter that the notebook does not take, or not so.

    It takes no kernel and no papermill: whoever runs it, here or elsewhere, gets an order that is sound.
    """
    file = find(name)
    defaults = _defaults(file)
    given, faults = {}, []
    for key, text in texts.items():
        try:
            given[key] = _checked(key, text, defaults)
        except ValueError as error:
            faults.append(f"Notebook {file.stem}: {error}.")
    if faults:
        raise NotebookError(faults)
    return Order(file, defaults, given)


def execute(order: Order, settings: Settings, *, with_bar: bool = False) -> Executed:
    """Run a notebook in a kernel of this Python; keep its executed copy, and a page of it, in the workspace.

    The workspace is the notebook's parameter of that name, else that of the settings. Raises NotebookError where a cell
    fails: the copy is kept up to there. Raises PlatformError without papermill.
    """
    _require_papermill()
    clock, moment = Clock(), datetime.now(timezone.utc)
    folder = _folder(order, settings)
    copy = folder / f"{order.name}-{moment:%Y%m%dT%H%M%SZ}.ipynb"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        cells = _run_cells(order, copy, with_bar)
    finally:
        page = _write_page(copy) if copy.is_file() else copy
    return Executed(order.name, str(copy), str(page), cells, clock.seconds)


def _checked(key: str, text: str, defaults: Mapping[str, Any]) -> Any:
    """Give the text as a value of its parameter's type. Raises ValueError."""
    if key not in defaults:
        near = difflib.get_close_matches(key, defaults, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"it has no parameter '{key}'.{hint} It takes {', '.join(defaults) or 'none'}")
    named = [word.partition("=")[0] for word in text.split() if "=" in word]
    if masked(text) != text or any(map(SECRET_NAME.search, named)):
        way = "Give it in the environment, such as IRBIS_AZURE__SAS"
        raise ValueError(f"{key} holds a secret, which would stand in the executed copy. {way}")
    try:
        return yaml.safe_load(text) if defaults[key] is None else typed(text, defaults[key])
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


def _require_papermill() -> None:
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise PlatformError(
            f"Running a notebook needs {', '.join(lacking)}: {sys.executable} -m pip install {' '.join(NEEDED)}."
        )


def _folder(order: Order, settings: Settings) -> Path:
    """Give the folder of executed copies; of a workspace in the cloud they stay here."""
    named = order.value("workspace")
    workspace = workspace_of(settings.model_copy(update={"workspace": named}) if named else settings)
    return Path(FOLDER).absolute() if "://" in workspace else Path(workspace) / FOLDER


def _run_cells(order: Order, copy: Path, with_bar: bool) -> int:
    """Run all cells, writing the copy after each, and give their number."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    file, target = (str(path).replace("{", "{{").replace("}", "}}") for path in (order.file, copy))
    try:
        with _own_kernel():
            done = papermill.execute_notebook(
                file, target, dict(order.given), kernel_name=KERNEL, progress_bar=with_bar, start_timeout=120
            )
    except papermill.PapermillExecutionError as error:
        reason = " ".join(str(error.evalue).split())
        raise NotebookError(
            f"Notebook {order.name} failed in cell {error.exec_count}: {error.ename}: {reason[:600]} "
            f"The copy up to there: {copy}"
        ) from error
    except DeadKernelError as error:
        raise NotebookError(f"Notebook {order.name}: its Python died (no memory?). The copy so far: {copy}") from error
    return sum(cell.cell_type == "code" for cell in done.cells)


@contextmanager
def _own_kernel() -> Iterator[None]:
    """Let the kernel python3 be one of this very Python and package, whatever else is registered by that name."""
    path = os.pathsep.join(filter(None, [str(Path(pipelines.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python", "env": {"PYTHONPATH": path}}
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        write_local(Path(folder) / "kernels" / KERNEL / "kernel.json", json.dumps(spec).encode())
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def _write_page(copy: Path) -> Path:
    """Write the executed copy as one page of HTML beside it."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=PLAIN_PAGE, exclude_input_prompt=True, exclude_output_prompt=True)
    html, _ = exporter.from_filename(str(copy))
    page = copy.with_suffix(".html")
    write_local(page, html.encode("utf-8", "backslashreplace"))
    return page
