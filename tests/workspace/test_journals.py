"""Journals of the review page: every decision reaches the table once, whoever is killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipelines.schemas import Decision
from pipelines.workspace import journal_files, journals, labels
from pipelines.workspace.journal_files import find_journals, format_line, journal_folder, read_new_lines
from pipelines.workspace.journals import journal_notes, merge_journals

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def decision(number: int, **values: Any) -> Decision:
    given = {"label": "cat", "action": "correct", "reviewer": "ann", **values}
    at = NOON + timedelta(minutes=number, microseconds=7)
    return Decision(f"id{number}", f"hash{number}", f"{number}.jpg", reviewed_at=at, **given)


@pytest.fixture
def journal(tables) -> Path:
    folder = journal_folder(tables.workspace)
    folder.mkdir(parents=True)
    return folder / "2026-ann.jsonl"


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(lines))


def pending_decisions(workspace: str) -> list[Decision]:
    return [line.decision for path in find_journals(workspace) for line in read_new_lines(path) if line.decision]


def stored(tables: Any) -> list[str]:
    return sorted(row["decision_id"] for row in tables.read("labels").select("decision_id").collect())


def test_a_decision_is_read_from_its_line_as_it_was(journal):
    given = decision(1, label="café au lait", score=0.25, is_model_chosen=True, comment="a\nb\u2028c")
    line = format_line(given)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert json.loads(line)["reviewed_at"] == "2026-01-01T12:01:00.000007Z"
    append(journal, line)
    assert pending_decisions(str(journal.parents[2])) == [given]


def test_decisions_are_merged_once_and_what_is_appended_later_with_the_next_merge(tables, journal, monkeypatch):
    assert (merge_journals(tables), tables.exists("labels")) == (0, False)
    append(journal, format_line(decision(1, score=0.5)), format_line(decision(2, label=None, action="skip")))
    append(journal.with_name("other.jsonl"), format_line(decision(3)), format_line(decision(1)))
    assert len(pending_decisions(tables.workspace)) == 4
    assert merge_journals(tables) == 3
    assert stored(tables) == ["id1", "id2", "id3"]
    row = tables.read("labels").where("decision_id = 'id1'").first()
    assert (row["label"], row["score"], row["reviewer"], row["is_model_chosen"]) == ("cat", 0.5, "ann", False)
    assert row["reviewed_at"].astimezone(timezone.utc) == NOON + timedelta(minutes=1, microseconds=7)

    append(journal, format_line(decision(4)))
    assert [each.decision_id for each in pending_decisions(tables.workspace)] == ["id4"]
    assert merge_journals(tables) == 1
    assert stored(tables) == ["id1", "id2", "id3", "id4"]

    version = tables.version("labels")
    monkeypatch.setattr(journals, "append_decisions", None)  # nothing to append: not even called
    assert (merge_journals(tables), pending_decisions(tables.workspace)) == (0, [])
    assert tables.version("labels") == version


def test_a_kill_between_commit_and_progress_merges_nothing_twice(tables, journal, monkeypatch):
    append(journal, format_line(decision(1)), format_line(decision(2)))
    with monkeypatch.context() as patch:
        patch.setattr(journal_files, "write_atomic", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merge_journals(tables)
    assert stored(tables) == ["id1", "id2"]
    version = tables.version("labels")
    append(journal, format_line(decision(3)))
    assert len(pending_decisions(tables.workspace)) == 3
    assert merge_journals(tables) == 1
    assert (stored(tables), tables.version("labels")) == (["id1", "id2", "id3"], version + 1)


def test_a_line_that_is_cut_is_read_when_it_is_whole(tables, journal):
    line = format_line(decision(2))
    append(journal, format_line(decision(1)), line[:40])
    assert [each.decision_id for each in pending_decisions(tables.workspace)] == ["id1"]
    assert (journal_notes(tables.workspace), merge_journals(tables)) == ([], 1)
    append(journal, line[40:-1])
    for expected in (1, 0):  # only its line break is lacking
        assert (journal_notes(tables.workspace), merge_journals(tables)) == ([], expected)
    append(journal, line[-1:], format_line(decision(3)))
    assert merge_journals(tables) == 1
    assert stored(tables) == ["id1", "id2", "id3"]
    assert journal.with_suffix(".merged").read_text() == str(journal.stat().st_size)


FAULTS = {
    b"{": "EOF",
    b"\xff\xfe": "Invalid JSON|utf-8|invalid unicode",
    b"[1]": "",
    b'{"decision_id": "x"}': "content_hash: ",
    format_line(decision(9))[:-2] + b', "colour": "red"}': "colour: ",
    format_line(decision(9, action="improve"))[
        :-1
    ]: "action = improve is none of confirm, correct, unknown, skip, undo",
    format_line(decision(9, action="unknown"))[:-1]: "action = unknown with label = cat",
    format_line(decision(9, label="\u200b"))[:-1]: "action = correct with label = \u200b",
    format_line(decision(9, action="undo", label=None))[:-1]: "action = undo with undoes = None",
    format_line(decision(9)).replace(b"07Z", b"07")[:-1]: "has no time zone",
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_line_that_is_no_decision_is_reported_with_its_number(tmp_path, line):
    journal = journal_folder(str(tmp_path)) / "ann.jsonl"
    journal.parent.mkdir(parents=True)
    append(journal, format_line(decision(1)), b"\n", line + b"\n", format_line(decision(2)), line + b"\n")
    (note,) = journal_notes(str(tmp_path))
    assert note.startswith(f"{journal}, line 3 is no decision that this version can read: ")
    assert re.search(FAULTS[line], note), note
    assert "The same is true of 1 more line." in note
    assert [each.decision_id for each in pending_decisions(str(tmp_path))] == ["id1", "id2"]


def test_a_line_that_cannot_be_read_stays_and_is_reported_until_it_is_repaired(tables, journal):
    append(journal, format_line(decision(1)))
    merge_journals(tables)
    append(journal, format_line(decision(2)), b"{\n", format_line(decision(3)))
    for expected in (2, 0):
        assert [note[: len(str(journal)) + 8] for note in journal_notes(tables.workspace)] == [f"{journal}, line 3"]
        assert merge_journals(tables) == expected
    journal.write_bytes(journal.read_bytes().replace(b"{\n", format_line(decision(4))))
    assert (journal_notes(tables.workspace), merge_journals(tables)) == ([], 1)
    assert stored(tables) == ["id1", "id2", "id3", "id4"]


def test_a_journal_that_was_replaced_by_a_shorter_one_is_read_from_its_start(tables, journal):
    append(journal, *[format_line(decision(number)) for number in range(3)])
    assert merge_journals(tables) == 3
    journal.write_bytes(format_line(decision(7)))
    assert merge_journals(tables) == 1
    for progress in ("?", "-1", "0", str(journal.stat().st_size - 5), "9999"):
        journal.with_suffix(".merged").write_text(progress)
        assert [each.decision_id for each in pending_decisions(tables.workspace)] == ["id7"], progress
    assert merge_journals(tables) == 0
    assert journal.with_suffix(".merged").read_text() == str(journal.stat().st_size)


def test_several_processes_merge_at_once(tables, journal, monkeypatch):
    for number in range(4):
        append(journal.with_name(f"{number}.jsonl"), *[format_line(decision(n)) for n in range(number, number + 3)])
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: merge_journals(tables), range(4)))
    assert sum(added) == 6
    assert stored(tables) == [f"id{n}" for n in range(6)]


def test_a_conflict_with_another_commit_is_retried(tables, monkeypatch):
    labels.append_decisions(tables, [decision(1)])
    calls = []

    class Conflict(Exception):
        pass

    def conflict(*_: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise Conflict

    monkeypatch.setattr(labels, "CONFLICTS", (Conflict,))
    monkeypatch.setattr(type(tables), "insert_missing", conflict)
    assert labels.append_decisions(tables, [decision(2)]) == 1
    assert len(calls) == 3


@pytest.mark.process
def test_a_server_killed_while_it_writes_loses_nothing_that_it_acknowledged(tables, journal):
    script = (
        "import os, sys\n"
        "from tests.workspace.test_journals import decision, format_line\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "for number in range(100_000):\n"
        "    os.write(file, format_line(decision(number)))\n"
        "    os.fsync(file)\n"
        "    print(number, flush=True)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script, str(journal)], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(server.stdout.readline()) for _ in range(50)]
    merged = merge_journals(tables)  # while it writes
    server.kill()
    acknowledged += [int(line) for line in server.stdout]
    server.wait()
    merged += merge_journals(tables)
    found = stored(tables)
    assert len(found) == len(set(found)) == merged
    assert {f"id{number}" for number in acknowledged} <= set(found)
    assert merged - len(acknowledged) in (0, 1)


def test_journals_of_a_workspace_that_cannot_append_are_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert journal_folder("/data/w") == Path("/data/w/review/journal")
    uris = ["abfss://c@a.dfs.core.windows.net/w", "abfss://c@a.dfs.core.windows.net/v", "/Volumes/a/b/c"]
    folders = {journal_folder(uri) for uri in uris}
    assert len(folders) == 3
    assert {folder.parents[1] for folder in folders} == {tmp_path / ".irbis" / "review"}
    assert {folder.name for folder in folders} == {"journal"}
