"""No file of the package imports itself in a circle, also not inside a function or for type checking."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in (ROOT / "pipelines").rglob("*.py")
}


def imported_by(path: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in NAMES:
            below = {f"{node.module}.{name.name}" for name in node.names}
            found |= (below & NAMES.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & NAMES.keys()
    return found


def test_no_file_imports_itself_in_a_circle():
    TopologicalSorter({name: imported_by(path) for name, path in NAMES.items()}).prepare()


def test_a_circle_would_be_found(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    from pipelines.errors import UserError\n")
    assert imported_by(tmp_path / "a.py") == {"pipelines.errors"}
    with pytest.raises(CycleError):
        TopologicalSorter({"pipelines.a": {"pipelines.errors"}, "pipelines.errors": {"pipelines.a"}}).prepare()


def test_mlflow_is_not_reached_through_an_attribute_of_another_room():
    for name, path in NAMES.items():
        if not name.startswith("pipelines.tracking"):
            used = {
                node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)
            }
            assert "client" not in used, path
