"""The stored notebooks: short, without outputs, with parameters, for Jupyter and Databricks."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = ["01_walkthrough", "02_explore_errors", "03_score_new_set"]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read_notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source_of(cell):
    return "".join(cell["source"])


def test_the_folder_holds_the_notebooks_that_are_tested_and_no_other():
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"{name}.ipynb" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_notebook_holds_no_output_and_nothing_of_the_machine_it_was_written_on(name):
    notebook = read_notebook(name)
    assert notebook["metadata"] == {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in code_cells(notebook):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), source_of(cell)
        assert set(cell["metadata"]) <= {"tags"}
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    assert (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8") == text  # one way to write it: small differences


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_calls_the_package_and_has_no_code_of_its_own(name):
    for cell in code_cells(read_notebook(name)):
        source = source_of(cell)
        assert source.count("\n") < 18, source
        for node in ast.walk(ast.parse(source)):
            what = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try, ast.With)
            assert not isinstance(node, what), source
            if isinstance(node, ast.ImportFrom):
                assert str(node.module).partition(".")[0] == "pipelines", source


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_plain_default_a_comment_and_a_widget(name):
    first, second = code_cells(read_notebook(name))[:2]
    assert first["metadata"] == {"tags": ["parameters"]}
    assigned = [node.targets[0].id for node in ast.parse(source_of(first)).body]
    assert all(ast.literal_eval(node.value) is not None for node in ast.parse(source_of(first)).body)
    assert all("  # " in line for line in source_of(first).splitlines())
    (call,) = [node for node in ast.walk(ast.parse(source_of(second))) if isinstance(node, ast.Call)]
    assert call.func.id == "parameters"
    assert [(each.arg, each.value.id) for each in call.keywords] == [(name, name) for name in assigned]
    assert {"workspace", "env", "settings"} <= set(assigned)
