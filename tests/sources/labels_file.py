"""Labels files written and read by tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.sources.labels import read_labels


def read(folder: Path, text: str | bytes, name: str = "labels.csv") -> list[dict[str, object]]:
    """Write a labels file and return its rows, nulls as None."""
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return rows(read_labels(str(folder / name)))


def rows(table: pd.DataFrame) -> list[dict[str, object]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def refused(folder: Path, text: str | bytes, name: str = "labels.csv") -> list[str]:
    """Return what is wrong with a labels file that is refused."""
    with pytest.raises(DataError) as caught:
        read(folder, text, name)
    return caught.value.faults
