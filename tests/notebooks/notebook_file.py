"""Write notebooks for the tests."""

from __future__ import annotations

import json
from pathlib import Path


def write_notebook(path: Path, *cells: tuple[str, str]) -> str:
    """Write a notebook with code cells of (tag or "", source); return its path."""
    code = [
        {"cell_type": "code", "metadata": {"tags": [tag]} if tag else {}, "source": source, "outputs": [],
         "execution_count": None, "id": f"cell-{i}"}
        for i, (tag, source) in enumerate(cells)
    ]  # fmt: skip
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path.write_text(json.dumps({"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return str(path)
