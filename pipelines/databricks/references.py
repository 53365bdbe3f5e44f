"""References in a bundle, such as ${var.catalog} or ${workspace.file_path}: replaced by what they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REFERENCE = re.compile(r"\$\{([a-zA-Z]+(?:[-_]*[a-zA-Z0-9]+)*(?:\.[a-zA-Z]+(?:[-_]*[a-zA-Z0-9]+)*(?:\[\d+\])*)+)\}")
DEPTH = 20  # references within references; more are a circle


class Resolver:
    """Resolve references against a bundle's tree and the values of its variables.

    What has no value yet, or is known to a workspace alone, stays as it is. `faults` collects what leads in a circle.
    """

    def __init__(self, tree: Mapping[str, Any], values: Mapping[str, Any]):
        self.tree, self.values = tree, values
        self.faults: list[str] = []

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """Give the value with every reference in it replaced; a text that is one reference alone takes its type."""
        if isinstance(value, dict):
            return {key: self.resolve(item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth > DEPTH:
            fault = f"databricks.yml: {value} leads back to itself. Give a variable of the circle a plain value."
            self.faults += [] if fault in self.faults else [fault]
            return value
        if whole := REFERENCE.fullmatch(value):
            return self._look_up(whole, depth)
        return REFERENCE.sub(lambda found: str(self._look_up(found, depth)), value)

    def _look_up(self, found: re.Match[str], depth: int) -> Any:
        first, *rest = re.findall(r"[^.\[\]]+", found[1])
        place: Any = self.values if first == "var" else self.tree.get(first)
        for name in rest:
            if isinstance(place, list) and name.isdigit() and int(name) < len(place):
                place = place[int(name)]
            else:
                place = place.get(name) if isinstance(place, Mapping) else None
        return found[0] if place is None or place == found[0] else self.resolve(place, depth + 1)
