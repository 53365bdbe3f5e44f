"""`irbis clean` and the review page: no decision is lost that the table does not have."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipelines.cleanup.clean import WorkspaceCleaner
from pipelines.cleanup.leftovers import find_leftovers
from pipelines.review.journal import JournalWriter
from pipelines.schemas import Decision
from pipelines.workspace.journal_files import journal_folder
from pipelines.workspace.journals import merge_journals
from pipelines.workspace.tables import Tables

DAY = 86_400
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def settings(make_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return make_settings()


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def write_journal(folder: Path, name: str, *ids: str, days: float = 2, end: bytes = b"") -> Path:
    writer = JournalWriter(folder, name)
    writer.append([Decision(each, f"h{each}", "p", "fox", "correct", reviewed_at=NOON) for each in ids])
    writer.close()
    with writer.path.open("ab") as file:
        file.write(end)
    age(writer.path, days)
    return writer.path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_journal_goes_when_the_table_has_all_of_it_and_no_server_writes_it(spark, settings):
    tables = Tables.of(spark, settings)
    folder = journal_folder(tables.workspace)
    write_journal(folder, "old", "a", "b")
    write_journal(folder, "young", "c", days=0.5)
    write_journal(folder, "open", "d")
    write_journal(folder, "faulty", "e", end=b"{}\n")
    write_journal(folder, "cut", "f", end=b'{"decision_id": "g')
    merge_journals(tables)
    write_journal(folder, "later", "h")  # not merged, beside one that is in the table
    write_journal(folder, "copied", "a", "b")  # merged by way of another file
    (folder / "gone.merged").write_text("7")
    server = JournalWriter(folder, "open")
    server.append([Decision("i", "hi", "p", "fox", "correct", reviewed_at=NOON)])
    merge_journals(tables)
    age(server.path, 2)
    (folder / "later.merged").unlink()
    spark.sql(f"DELETE FROM delta.`{tables.location('labels')}` WHERE decision_id = 'h'")
    (folder / "later.merged").write_text(str((folder / "later.jsonl").stat().st_size))  # merged, then restored

    before = names(folder)
    (line,) = [line for line in WorkspaceCleaner(settings, dry_run=True).run(lambda: spark) if "journals" in line]
    assert line.startswith("5 files of merged journals, ") and line.endswith("would be removed")
    assert names(folder) == before
    (line,) = [line for line in WorkspaceCleaner(settings).run(lambda: spark) if "journals" in line]
    assert line.startswith("5 files of merged journals, ")
    assert set(before) - set(names(folder)) == {
        *("old.jsonl", "old.merged", "copied.jsonl", "copied.merged", "gone.merged")
    }
    server.close()
    assert len([line for line in WorkspaceCleaner(settings).run(lambda: spark) if "journals" in line]) == 1
    assert "open.jsonl" not in names(folder) and "later.jsonl" in names(folder)


def test_without_the_table_every_journal_stays_whatever_its_progress_says(spark, settings):
    tables = Tables.of(spark, settings)
    folder = journal_folder(tables.workspace)
    write_journal(folder, "old", "a")
    merge_journals(tables)
    shutil.rmtree(tables.location("labels"))
    assert not [line for line in WorkspaceCleaner(settings).run(lambda: spark) if "journals" in line]
    assert names(folder) == ["old.jsonl", "old.merged"]


def test_thumbnails_go_that_nobody_has_looked_at_for_long(settings, tmp_path):
    cache = Path(settings.workspace) / "review" / "cache" / "ab"
    remote = tmp_path / "home" / ".irbis" / "review" / "0123456789abcdef" / "cache" / "cd"
    for folder in (cache, remote):
        folder.mkdir(parents=True)
        for name, days in ((f"{'a' * 64}-small.jpg", 31), (f"{'b' * 64}-large.jpg", 29), ("mine.jpg", 400)):
            (folder / name).write_bytes(b"x" * 10)
            age(folder / name, days)
    draft = cache / f".{'a' * 64}-small.jpg.12.34.draft"
    draft.write_bytes(b"x")
    age(draft, 2)
    found = {left.plural: [*left.paths] for left in find_leftovers(settings)}
    assert found == {
        "thumbnails of the review page": [remote / f"{'a' * 64}-small.jpg", cache / f"{'a' * 64}-small.jpg"],
        "unfinished files": [draft],
    }
