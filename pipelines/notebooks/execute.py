"""Run a notebook as a job, in a kernel of this Python; the workspace keeps the executed copy and an HTML page."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pipelines
from pipelines.atomic_write import write_atomic
from pipelines.config.settings import Settings
from pipelines.errors import NotebookError, PlatformError
from pipelines.formatting import format_duration
from pipelines.notebooks.requests import NotebookRequest
from pipelines.stages.result import Stopwatch
from pipelines.workspace.files import write_text
from pipelines.workspace.location import workspace_uri
from pipelines.workspace.tables import Tables

NOTEBOOKS_DIR = "notebooks"  # in the workspace
KERNEL = "python3"
REQUIRED_PACKAGES = ("papermill", "ipykernel", "nbconvert")
HTML_TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}"""  # the page is self-contained: no script, no external resource


@dataclass(frozen=True)
class NotebookRun:
    """Result of running a notebook: locations of the executed copy and its page, number of cells, and duration."""

    name: str
    copy: str
    page: str
    cells: int
    seconds: float

    def closing_line(self) -> str:
        cells = f"{self.cells} cell{'' if self.cells == 1 else 's'}"
        return f"notebook: {self.name}, {cells} run, {format_duration(self.seconds)}; {self.page} and {self.copy}"


def run_notebook(request: NotebookRequest, settings: Settings, *, progress_bar: bool = False) -> NotebookRun:
    """Run a notebook in a kernel of this Python and store the executed copy and its page in the workspace.

    Raises NotebookError if a cell fails; the copy up to that cell is stored. Raises PlatformError without papermill.
    """
    _require_papermill()
    clock, stem = Stopwatch(), f"{request.name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    with _output_dir(settings) as folder:
        copy = folder / f"{stem}.ipynb"
        cells, fault = _run_cells(request, copy, progress_bar)
        stored, page = (_store(file, settings) for file in (copy, _write_page(copy)))
    if fault:
        raise NotebookError(f"Notebook {request.name} {fault} The copy up to there: {page}")
    return NotebookRun(request.name, stored, page, cells, clock.seconds)


def _require_papermill() -> None:
    if missing := [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]:
        command = f"{sys.executable} -m pip install {' '.join(REQUIRED_PACKAGES)}"
        raise PlatformError(f"Running a notebook needs {', '.join(missing)}: {command}.")


@contextmanager
def _output_dir(settings: Settings) -> Iterator[Path]:
    """Yield the workspace's folder for executed copies; for a cloud workspace, a temporary folder."""
    if "://" in settings.workspace:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        own = Path(workspace_uri(settings), NOTEBOOKS_DIR)
        own.mkdir(parents=True, exist_ok=True)
        yield own


def _store(file: Path, settings: Settings) -> str:
    """Return the file's location in the workspace, after uploading it to a cloud workspace."""
    if "://" not in settings.workspace:
        return str(file)
    from pipelines.spark.session import get_session

    tables = Tables.of(get_session(settings), settings)
    return write_text(tables, f"{NOTEBOOKS_DIR}/{file.name}", file.read_text(encoding="utf-8"))


def _run_cells(request: NotebookRequest, copy: Path, progress_bar: bool) -> tuple[int, str]:
    """Run the cells and write the copy after each; return their number, and the error of a failed cell or ''."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    file, target = (str(path).replace("{", "{{").replace("}", "}}") for path in (request.file, copy))
    try:
        with _own_kernel():
            done = papermill.execute_notebook(
                file, target, dict(request.overrides), kernel_name=KERNEL, progress_bar=progress_bar, start_timeout=120
            )
    except papermill.PapermillExecutionError as error:
        reason = " ".join(str(error.evalue).split())[:600]
        return 0, f"failed in cell {error.exec_count}: {error.ename}: {reason}"
    except DeadKernelError:
        return 0, "lost its kernel, perhaps because memory ran out."
    return sum(cell.cell_type == "code" for cell in done.cells), ""


@contextmanager
def _own_kernel() -> Iterator[None]:
    """Register a kernel python3 with this Python and package, ahead of any other kernel of that name."""
    path = os.pathsep.join(filter(None, [str(Path(pipelines.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python", "env": {"PYTHONPATH": path}}
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        write_atomic(Path(folder) / "kernels" / KERNEL / "kernel.json", json.dumps(spec).encode())
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def _write_page(copy: Path) -> Path:
    """Write the executed copy as an HTML page beside it."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=HTML_TEMPLATE, exclude_input_prompt=True, exclude_output_prompt=True)
    html, _ = exporter.from_filename(str(copy))
    page = copy.with_suffix(".html")
    write_atomic(page, html.encode("utf-8", "backslashreplace"))
    return page
