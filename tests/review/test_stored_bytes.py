"""The bytes of single images from the files of the table, whatever the size of their row groups."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ImageError
from pipelines.review import stored_bytes
from pipelines.review.stored_bytes import StoredBytes

ROWS = 40


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes ROWS contents in row groups, and returns their reader and the contents."""

    def write(row_group_size):
        contents = [bytes([i]) * 1000 if i != 7 else None for i in range(ROWS)]
        path = str(tmp_path / f"{row_group_size}.parquet")
        table = pa.table({"content": pa.array(contents, pa.binary())})
        pq.write_table(
            table, path, row_group_size=row_group_size, compression="none", use_dictionary=False, write_statistics=False
        )
        rows = np.arange(ROWS)
        return StoredBytes((path,), np.zeros(ROWS, np.int32), rows, rows[::-1].copy()), contents[::-1]

    return write


@pytest.mark.parametrize(("row_group_size", "cache"), [(ROWS, 2**20), (ROWS, 1), (9, 2**20), (9, 1)])
def test_every_row_is_read_from_the_row_that_holds_its_bytes(stored, monkeypatch, row_group_size, cache):
    monkeypatch.setattr(stored_bytes, "MAX_CACHED_BYTES", cache)
    reader, contents = stored(row_group_size)
    for row, content in enumerate(contents):
        if content is None:
            with pytest.raises(ImageError) as raised:
                reader.read(row)
            assert raised.value.failure == "vanished"
        else:
            assert reader.read(row) == content
    assert bool(reader._cache) == (cache > 1)


def test_the_row_group_that_was_used_least_recently_is_dropped(stored, monkeypatch):
    reader, _ = stored(4)
    monkeypatch.setattr(stored_bytes, "MAX_CACHED_BYTES", 14_000)  # three groups of 4 kB
    for group in (0, 1, 2, 0, 3):
        reader.read(ROWS - 1 - 4 * group)
    assert [group for _, group in reader._cache] == [2, 0, 3]


def test_a_file_that_a_cleanup_has_removed_is_reported_as_vanished(tmp_path):
    rows = np.zeros(1, np.int64)
    with pytest.raises(ImageError) as raised:
        StoredBytes((str(tmp_path / "gone.parquet"),), rows.astype(np.int32), rows, rows).read(0)
    assert raised.value.failure == "vanished"
