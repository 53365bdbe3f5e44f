"""Resolve references in a bundle, such as ${var.catalog} or ${workspace.file_path}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.errors import SettingsError

REFERENCE = re.compile(r"\$\{([a-zA-Z]+(?:[-_]*[a-zA-Z0-9]+)*(?:\.[a-zA-Z]+(?:[-_]*[a-zA-Z0-9]+)*(?:\[\d+\])*)+)\}")
DEPTH = 20  # maximum depth of nested references; deeper ones are a cycle


class Resolver:
    """Resolver of references against a bundle's tree and the values of its variables.

    References without a value, or with one that only a workspace has, stay unchanged.
    """

    def __init__(self, tree: Mapping[str, Any], values: Mapping[str, Any]):
        self.tree, self.values = tree, values

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """Return the value with its references replaced; a text that is one reference takes the type of its value.

        Raises SettingsError for a reference to itself.
        """
        if isinstance(value, dict):
            return {key: self.resolve(item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth > DEPTH:
            raise SettingsError(f"databricks.yml: {value} refers to itself. Give a variable in the cycle a value.")
        if whole := REFERENCE.fullmatch(value):
            return self._look_up(whole, depth)
        return REFERENCE.sub(lambda found: str(self._look_up(found, depth)), value)

    def _look_up(self, found: re.Match[str], depth: int) -> Any:
        first, *rest = re.findall(r"[^.\[\]]+", found[1])
        node: Any = self.values if first == "var" else self.tree.get(first)
        for name in rest:
            if isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                node = node.get(name) if isinstance(node, Mapping) else None
        return found[0] if node is None or node == found[0] else self.resolve(node, depth + 1)
