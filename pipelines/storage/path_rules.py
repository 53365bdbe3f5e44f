"""What a path below the source says: its label, its station."""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.label_text import canonical_text
from pipelines.settings import Sources


def wanted_suffixes(rules: Sources) -> set[str]:
    """Give the suffixes of pictures, in small letters and without their dot."""
    return {extension.lower().lstrip(".") for extension in rules.extensions}


def path_rule(rule: str) -> Callable[[str], str | None]:
    """Give the function that reads a station or a label off a path below the source; null where there is none.

    Names are in canonical form: a folder of invisible characters gives none.
    """
    if rule.startswith("regex:"):
        pattern = re.compile(rule[len("regex:") :])
        return lambda path: canonical_text(match[1]) if (match := pattern.search(path)) else None
    if rule == "folder" or rule.startswith("folder:"):
        level = int(rule.partition(":")[2] or -1)
        return lambda path: canonical_text(_folder(path, level))
    return lambda path: None


def _folder(path: str, level: int) -> str | None:
    """Give the N-th folder of a path, counted from 1; -1 is the last."""
    folders = path.split("/")[:-1]
    index = level - 1 if level > 0 else level
    return folders[index] if -len(folders) <= index < len(folders) else None
