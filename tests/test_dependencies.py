"""All that is imported is declared, and what is called of PySpark is there in 3.3 already."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pyspark.sql import Column, DataFrame, DataFrameReader, DataFrameWriter, SparkSession, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.group import GroupedData
from pyspark.sql.streaming import DataStreamReader, DataStreamWriter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [*ROOT.glob("pipelines/**/*.py"), *ROOT.glob("jobs/*.py"), *ROOT.glob("deploy/**/*.py")]
PROGRAM += [ROOT / "irbis_entry.py", ROOT / "hatch_build.py"]
FIRST_NEWER = Version("3.4")
CLASSES = (
    *(Column, DataFrame, DataFrameReader, DataFrameWriter, DataStreamReader, DataStreamWriter, GroupedData),
    *(SparkSession, Window, WindowSpec),
)
OF_OTHERS = {"client"}  # names that objects of our own have too


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in PROGRAM:
        yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text("utf-8"))


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def declared() -> set[str]:
    """Return the distributions that users, or builders, are told to install."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines = [*content["build-system"]["requires"], *content["project"]["dependencies"]]
    extras = content["project"]["optional-dependencies"]
    lines += [line for name, wanted in extras.items() if name != "dev" for line in wanted]
    # Clusters have the part of mlflow that they need.
    return {canonicalize_name(Requirement(line).name) for line in lines} | {"mlflow-skinny"}


def providers(module: str, of_package: dict[str, list[str]]) -> set[str]:
    """Return the installed distributions that hold a module; of a namespace, such as `azure`, those of its part."""
    names = of_package.get(module.partition(".")[0], [])
    if len(set(names)) < 2:
        return {canonicalize_name(name) for name in names}
    parts = PurePosixPath(*module.split("."))
    wanted = {f"{parts}.py", f"{parts}/__init__.py"}
    files = {name: {str(file) for file in importlib.metadata.files(name) or ()} for name in set(names)}
    return {canonicalize_name(name) for name, held in files.items() if held & wanted}


def test_every_package_that_is_imported_is_declared():
    of_package = dict(importlib.metadata.packages_distributions())
    known, checked, missing = declared(), set(), set()
    for file, tree in trees():
        for module in imported(tree):
            if module.partition(".")[0] in {*sys.stdlib_module_names, "pipelines"}:
                continue
            found = providers(module, of_package)  # none: not installed here, as papermill on HDInsight
            checked |= found
            if found and not found & known:
                missing.add((file, module, *sorted(found)))
    assert missing == set()
    assert {"azure-core", "py4j", "pyyaml", "hatchling"} <= checked


def added_in(member: Any) -> Version:
    found = re.search(r"versionadded::\s*([\d.]+)", member.__doc__ or "")
    return Version(found[1]) if found else Version("0")


def newer_names(owner: Any) -> set[str]:
    return {name for name in dir(owner) if name[0] != "_" and added_in(getattr(owner, name)) >= FIRST_NEWER}


def test_what_is_called_of_pyspark_is_there_in_the_oldest_version_that_is_supported():
    functions, methods = newer_names(F), set().union(*map(newer_names, CLASSES)) - OF_OTHERS
    found = []
    for file, tree in trees():
        if not any(module.startswith("pyspark") for module in imported(tree)):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                is_function = isinstance(node.value, ast.Name) and node.value.id == "F"
                if node.attr in (functions if is_function else methods):
                    found.append(f"{file}:{node.lineno} {node.attr}")
            elif isinstance(node, ast.ImportFrom) and node.module == "pyspark.sql.functions":
                found += [f"{file}:{node.lineno} {each.name}" for each in node.names if each.name in functions]
    assert found == []
    if Version(importlib.metadata.version("pyspark")) < Version("3.5"):
        pytest.skip("this PySpark is too old to have newer names: nothing was compared")
    assert "pmod" in functions and "unpivot" in methods
