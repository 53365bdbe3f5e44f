"""Write a local file from lines that Spark makes."""

from __future__ import annotations

import os
from pathlib import Path

from pyspark.sql import DataFrame

from pipelines.atomic_write import sync


def write_lines(lines: DataFrame, path: Path, header: str = "", footer: str = "", separator: str = "\n") -> int:
    """Write a frame with one column of text, `line`, to a local file atomically; return the number of lines."""
    draft, count = path.with_name(f".{path.name}.{os.getpid()}.draft"), 0
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(header)
            for row in lines.select("line").toLocalIterator():
                file.write(f"{separator if count else ''}{row['line']}")
                count += 1
            file.write(footer)
        sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)
    return count
