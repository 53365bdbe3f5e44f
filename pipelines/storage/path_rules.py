"""What a path below the source says: whether it is a picture, its label, its station."""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.settings import Sources


def wanted_suffixes(rules: Sources) -> set[str]:
    """Give the suffixes of pictures, in small letters and without their dot."""
    return {extension.lower().lstrip(".") for extension in rules.extensions}


def suffix_of(path: str) -> str:
    """Give what follows the last dot of the name, in small letters; empty where there is no dot."""
    _, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return suffix.lower() if dot else ""


def path_rule(rule: str) -> Callable[[str], str | None]:
    """Give the function that reads a station or a label off a path below the source; null where there is none."""
    if rule.startswith("regex:"):
        pattern = re.compile(rule[len("regex:") :])
        return lambda path: (match[1] or None) if (match := pattern.search(path)) else None
    if rule == "folder" or rule.startswith("folder:"):
        level = int(rule.partition(":")[2] or -1)
        return lambda path: _folder(path, level)
    return lambda path: None


def _folder(path: str, level: int) -> str | None:
    """Give the N-th folder of a path, counted from 1; -1 is the last."""
    folders = path.split("/")[:-1]
    index = level - 1 if level > 0 else level
    return folders[index] if -len(folders) <= index < len(folders) else None
