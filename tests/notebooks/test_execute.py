from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

import pipelines
from pipelines.errors import NotebookError, PlatformError
from pipelines.notebooks.execute import REQUIRED_PACKAGES, NotebookRun, run_notebook
from pipelines.notebooks.requests import validate_request

from .notebook_file import write_notebook

missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
needs_papermill = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")

WHERE = "import os, sys, pipelines\nprint(size, sys.executable, pipelines.__file__, os.getcwd())"


@needs_papermill
@pytest.mark.process
def test_it_runs_in_this_python_and_package_and_folder_whatever_else_is_called_python3(
    tmp_path, monkeypatch, make_settings
):
    other = tmp_path / "data" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["false"], "display_name": "another", "language": "python"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # a person's own kernels go before those of the environment
    monkeypatch.chdir(tmp_path)
    path = write_notebook(tmp_path / "a {b}.ipynb", ("parameters", "size = 1"), ("", WHERE))
    done = run_notebook(validate_request(path, {"size": "5"}), make_settings())
    assert "JUPYTER_PATH" not in os.environ
    assert Path(done.copy).parent == tmp_path / "workspace" / "notebooks"
    assert re.fullmatch(r"a \{b\}-20\d{6}T\d{6}Z\.ipynb", Path(done.copy).name)
    cells = json.loads(Path(done.copy).read_text())["cells"]
    assert (done.cells, len(cells)) == (3, 3)
    assert "".join(cells[1]["source"]) == "# Parameters\nsize = 5\n"
    assert "".join(cells[2]["outputs"][0]["text"]) == f"5 {sys.executable} {pipelines.__file__} {tmp_path}\n"
    page = Path(done.page).read_text()
    assert f"5 {sys.executable}" in page
    assert not re.search(r"<(script|link)\b", page)  # it fetches nothing and runs nothing
    assert done.closing_line().startswith("notebook: a {b}, 3 cells run, ")
    assert done.closing_line().endswith(f" s; {done.page} and {done.copy}")


@needs_papermill
@pytest.mark.process
def test_a_cell_that_fails_is_named_and_the_copy_up_to_there_is_kept(tmp_path, make_settings):
    path = write_notebook(
        tmp_path / "mine.ipynb", ("", "print('so far')"), ("", "raise KeyError('no\\nway')"), ("", "print(3)")
    )
    with pytest.raises(NotebookError) as caught:
        run_notebook(validate_request(path, {}), make_settings())
    (copy,) = (tmp_path / "workspace" / "notebooks").glob("*.ipynb")
    page = copy.with_suffix(".html")
    assert caught.value.faults == [f"Notebook mine failed in cell 2: KeyError: 'no\\nway' The copy up to there: {page}"]
    text = copy.read_text()
    assert "so far" in text and '"ename": "KeyError"' in text
    assert json.loads(text)["cells"][-1]["execution_count"] is None
    assert "so far" in page.read_text()


@needs_papermill
def test_a_workspace_beyond_a_folder_gets_copy_and_page_too(spark, tmp_path, make_settings):
    settings = make_settings().model_copy(update={"workspace": f"file://{tmp_path}/far"})
    done = run_notebook(validate_request(write_notebook(tmp_path / "mine.ipynb", ("", "print('here')")), {}), settings)
    assert done.copy.startswith(f"file://{tmp_path}/far/notebooks/mine-")
    assert "here" in Path(done.copy.removeprefix("file://")).read_text()
    assert "here" in Path(done.page.removeprefix("file://")).read_text()


def test_without_papermill_it_says_what_to_install(tmp_path, monkeypatch, make_settings):
    path = write_notebook(tmp_path / "mine.ipynb", ("", "print(1)"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlatformError) as caught:
        run_notebook(validate_request(path, {}), make_settings())
    assert caught.value.faults == [
        "Running a notebook needs papermill, ipykernel, nbconvert: "
        f"{sys.executable} -m pip install papermill ipykernel nbconvert."
    ]


def test_the_closing_line_names_page_and_copy():
    done = NotebookRun("01_walkthrough", "/w/notebooks/a.ipynb", "/w/notebooks/a.html", 16, 74.2)
    assert done.closing_line() == (
        "notebook: 01_walkthrough, 16 cells run, 1 min 14 s; /w/notebooks/a.html and /w/notebooks/a.ipynb"
    )


@needs_papermill
@pytest.mark.process
def test_a_kernel_that_dies_is_reported_and_the_copy_is_kept(tmp_path, make_settings):
    path = write_notebook(tmp_path / "mine.ipynb", ("", "print('so far')"), ("", "import os\nos._exit(9)"))
    with pytest.raises(
        NotebookError, match=r"Notebook mine lost its kernel, perhaps because memory ran out\. The copy"
    ):
        run_notebook(validate_request(path, {}), make_settings())
    (copy,) = (tmp_path / "workspace" / "notebooks").glob("*.ipynb")
    assert "so far" in copy.read_text()
