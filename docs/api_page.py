"""The page of the public Python API, from signatures and docstrings as they are in the source: nothing is imported."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
API = {  # the heading of each part, the module to import from, and its public names
    "Notebooks": (
        "pipelines.notebooks.api",
        ("parameters", "settings_from_parameters", "demo_settings", "scoring_settings", "get_session", "run"),
    ),
    "Features": ("pipelines.stages.featurize.stage", ("featurize", "featurize_udf")),
    "Tables": ("pipelines.workspace.tables", ("Tables",)),
    "Served models": ("pipelines.serving.predictor", ("Predictor", "Prediction")),
    "Requests to endpoints": ("pipelines.serving.encode", ("encode",)),
    "Workspace overview": ("pipelines.reports.workspace_overview", ("WorkspaceOverview",)),
    "Error analysis": ("pipelines.reports.error_analysis", ("ErrorAnalysis",)),
    "Scoring summary": ("pipelines.reports.scoring_summary", ("ScoringSummary",)),
}
METHODS = {
    "Tables": ("of", "location", "exists", "require", "read", "version", "history", "latest_images", "with_content"),
    "Predictor": ("load", "predict", "close"),
}


def python_page() -> str:
    """Return the page of the public Python API, from signatures and docstrings."""
    parts = [
        "# Python API\n",
        "What notebooks and your own code may import. Everything else can change without notice.\n",
    ]
    for heading, (module, names) in API.items():
        parts.append(f"## {heading}\n\n    from {module} import {', '.join(names)}\n")
        for name in names:
            source, node = _definition(module, name)
            is_class = isinstance(node, ast.ClassDef)
            parts += _class_parts(source, node) if is_class else [_function_part(source, node, "")]
    return "\n".join(parts)


def _definition(module: str, name: str) -> tuple[str, Any]:
    """Return a module's source and the definition of a name in it, following imports."""
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return source, node
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names if not alias.asname]:
            return _definition(str(node.module), name)
    raise LookupError(f"{module} has no {name}")


def _class_parts(source: str, node: ast.ClassDef) -> list[str]:
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    chosen = METHODS.get(node.name, [each.name for each in methods])
    shown = [_function_part(source, method, f"{node.name}.") for method in methods if method.name in chosen]
    return [f"### {node.name}\n\n{ast.get_docstring(node)}\n", *shown]


def _function_part(source: str, node: ast.FunctionDef, owner: str) -> str:
    """Return a function's heading, signature and docstring; the signature is formatted as in the source."""
    lines = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
    signature = textwrap.dedent("\n".join(lines)).removesuffix(":")
    text = ast.get_docstring(node)
    heading = f"{'####' if owner else '###'} {owner}{node.name}"
    return f"{heading}\n\n```python\n{signature}: ...\n```\n" + (f"\n{text}\n" if text else "")
