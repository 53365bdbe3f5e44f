"""Modules of other folders that hide those irbis needs are named before anything is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import pipelines
from pipelines.spark.shadowing import current_folder_faults, python_path_faults, shadowing_modules

ROOT = Path(pipelines.__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return somebody's folder: two modules of Python's names, a package of ours, one of its own, a plain folder."""
    for name in ("random.py", "queue.py", "survey.py", "notes.txt", "conftest.py"):
        (tmp_path / name).touch()
    for name in ("pipelines", "analysis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "pandas").mkdir()  # without __init__.py it hides nothing
    return tmp_path


def test_only_modules_that_irbis_needs_are_hidden(project):
    assert shadowing_modules(str(project)) == ["pipelines", "queue", "random"]
    (project / "pandas" / "__init__.py").touch()
    assert shadowing_modules(str(project)) == ["pandas", "pipelines", "queue", "random"]


def test_the_folders_that_python_and_irbis_are_in_hide_nothing(tmp_path):
    for folder in (ROOT, Path(numpy.__file__).parents[1], Path(os.__file__).parent, tmp_path / "gone"):
        assert shadowing_modules(str(folder)) == []


def test_each_folder_of_python_path_is_named_once_with_the_remedy(project):
    assert python_path_faults("") == []
    assert python_path_faults(f"{ROOT}{os.pathsep}{project / 'analysis'}") == []
    (fault,) = python_path_faults(os.pathsep.join([str(project), str(ROOT), str(project)]))
    assert fault == (
        f"PYTHONPATH contains {project}, whose pipelines, queue, random hide the modules of the same name that irbis "
        "needs. Run it without: env -u PYTHONPATH irbis ..."
    )


def test_spark_in_python_path_is_as_spark_wants_it(tmp_path):
    for name in ("pyspark", "py4j"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    assert python_path_faults(str(tmp_path)) == []


def test_the_current_folder_matters_to_python_3_10_alone(project):
    assert current_folder_faults((3, 11), str(project)) == []
    (fault,) = current_folder_faults((3, 10), str(project))
    assert fault.startswith(
        f"The current folder {project} contains pipelines, queue, random, which Spark's Python 3.10"
    )


@pytest.mark.parametrize("path", [".", "", "other"])
@pytest.mark.process
def test_the_command_says_so_even_where_its_own_package_is_hidden(project, path):
    (project / "other").mkdir()
    (project / "other" / "numpy.py").write_text("raise ImportError('numpy of another Python')")
    script = project / "bin" / "irbis"
    script.parent.mkdir()
    script.write_text(f"import sys; sys.path.append({str(ROOT)!r})\nfrom irbis_entry import main\nmain()")
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}"}
    done = subprocess.run(
        [sys.executable, script, "--version"], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    named = project / path if path == "other" else project
    assert done.stderr.startswith(
        f"irbis: PYTHONPATH contains {named}, whose {'numpy hides' if path == 'other' else 'p'}"
    )
