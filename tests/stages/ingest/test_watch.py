"""Watching a source: each file is ingested once, whatever interrupts the watcher or the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import DataError, PlatformError
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.ingest.watch import watch
from pipelines.workspace.lock import workspace_lock
from pipelines.workspace.tables import Tables

from ..conftest import jpeg


class Over(Exception):
    """End a watch from within its sleep."""


def sleeps(*acts):
    """Return a sleep function that runs one action each time, and stops the watcher after the last."""
    waiting = list(acts)

    def sleep(seconds):
        assert seconds == 60
        if not waiting:
            raise Over
        waiting.pop(0)()

    return sleep


def notes_of(result):
    """Return the notes except that on images of no station, which the images here all are."""
    return [note for note in result.notes if not note.startswith("station and camera of")]


def results_of(spark, settings, *acts):
    found = []
    with pytest.raises(Over):
        for result in watch(spark, settings, sleeps(*acts)):
            found.append((result.read, result.written, dict(result.failures), len(notes_of(result))))
    return found


def paths(tables):
    return sorted(row["path"].rpartition("/")[2] for row in tables.read("images").collect())


def test_what_arrives_is_taken_once_and_a_look_at_nothing_new_writes_nothing(spark, make_settings, draw):
    folder = draw({"a/1.jpg": jpeg(90, 1), "a/bad.jpg": b""})
    settings = make_settings({"sources.images": str(folder)})
    tables = Tables.of(spark, settings)

    def nothing():
        versions.append(tables.version("images"))

    versions = []
    more = {"a/2.jpg": jpeg(91, 2), "b/1.jpg": jpeg(92, 3)}
    found = results_of(spark, settings, nothing, nothing, lambda: draw(more), lambda: draw({"a/1.jpg": jpeg(93, 4)}))
    assert found == [(2, 1, {"empty": 1}, 0), (2, 2, {}, 0), (1, 1, {}, 0)]
    assert versions == [0, 0]
    assert paths(tables) == ["1.jpg", "1.jpg", "1.jpg", "2.jpg", "bad.jpg"]  # a/1.jpg in two versions
    assert results_of(spark, settings) == []  # another process continues
    assert ingest.run(spark, settings).read == 0


def test_skipped_files_are_reported_once_and_again_when_they_change(spark, make_settings, draw):
    folder = draw({"a/1.jpg": jpeg(90, 1), "a/1.mp4": b""})
    settings = make_settings({"sources.images": str(folder)})
    notes = []
    with pytest.raises(Over):
        for result in watch(spark, settings, sleeps(lambda: None, lambda: draw({"a/2.mp4": b""}))):
            notes.append(notes_of(result))
    assert [note.partition(". ")[0] for (note,) in notes] == [
        "skipped 1 of 2 files: 1 video (mp4)",
        "skipped 2 of 3 files: 2 videos (mp4)",
    ]


def test_images_between_which_a_poll_was_stopped_are_taken_by_the_next(spark, make_settings, draw, monkeypatch):
    folder = draw({f"a/{n}.jpg": jpeg(90, n) for n in range(4)})
    settings = make_settings({"sources.images": str(folder), "ingest.files_per_commit": "2"})
    tables, ingest_chunk = Tables.of(spark, settings), ingest._ingest_chunk

    def fail_at_the_second(*args):
        if tables.exists("images"):
            raise Over("the second commit")
        return ingest_chunk(*args)

    monkeypatch.setattr(ingest, "_ingest_chunk", fail_at_the_second)
    with pytest.raises(Over, match=r"^the second commit$"):
        next(watch(spark, settings))
    assert len(paths(tables)) == 2
    monkeypatch.undo()
    assert next(watch(spark, settings)).read == 2
    assert paths(tables) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_what_moves_and_what_goes_is_seen_while_watching(spark, make_settings, draw):
    folder = draw({f"a/{n}.jpg": jpeg(90, n) for n in range(4)})
    settings = make_settings({"sources.images": str(folder)})
    tables, versions, notes = Tables.of(spark, settings), [], []

    def change():
        (folder / "a/0.jpg").rename(folder / "a/9.jpg")
        (folder / "a/1.jpg").unlink()

    def note_version():
        versions.append(tables.version("images"))

    with pytest.raises(Over):
        for result in watch(spark, settings, sleeps(change, note_version, note_version)):
            notes.append(notes_of(result))
    first, (moved, gone) = notes
    assert first == [] and moved == f"1 image moved, first file://{folder}/a/0.jpg -> file://{folder}/a/9.jpg."
    assert gone.startswith(f"1 image is gone from the source, first file://{folder}/a/1.jpg.")
    current = tables.latest_images().orderBy("path").collect()
    assert [row["path"][-5:] for row in current] == ["2.jpg", "3.jpg", "9.jpg"]
    assert versions[0] == versions[1]


def test_a_label_that_changes_is_updated_and_a_labels_file_that_is_broken_for_a_while_is_a_note(
    spark, make_settings, draw, tmp_path
):
    folder, labels = draw({"a/1.jpg": jpeg(90, 1)}), tmp_path / "labels.csv"
    labels.write_text("path,label\na/1.jpg,fox\n")
    settings = make_settings({"sources.images": str(folder), "sources.labels": str(labels)})
    acts = [lambda: labels.write_text("nothing"), lambda: labels.write_text("path,label\na/1.jpg,lynx\n")]
    found = []
    with pytest.raises(Over):
        for result in watch(spark, settings, sleeps(*acts)):
            found.append((result.read, result.written, str(labels) in result.notes[-1] if result.notes else None))
    assert [(read, written) for read, written, _ in found] == [(1, 1), (0, 0), (0, 1)]
    assert found[1][2]
    assert [row["label"] for row in Tables.of(spark, settings).latest_images().collect()] == ["lynx"]


def test_a_watch_of_an_empty_folder_waits_and_one_of_a_missing_folder_is_refused(spark, make_settings, draw, tmp_path):
    (tmp_path / "images").mkdir()
    settings = make_settings({"sources.images": str(tmp_path / "images")})
    assert results_of(spark, settings, lambda: draw({"a/1.jpg": jpeg(90, 1)})) == [(1, 1, {}, 0)]
    with pytest.raises(DataError, match="does not exist"):
        next(watch(spark, make_settings({"sources.images": str(tmp_path / "none")})))


def test_a_source_that_goes_away_later_and_a_workspace_in_use_are_notes(spark, make_settings, draw):
    folder = draw({"a/1.jpg": jpeg(90, 1)})
    settings = make_settings({"sources.images": str(folder)})
    held = workspace_lock(settings.workspace)
    away = folder.with_name("away")
    acts = [
        held.__enter__,
        lambda: (held.__exit__(None, None, None), folder.rename(away)),
        lambda: (away.rename(folder), draw({"a/2.jpg": jpeg(91, 2)})),
    ]
    assert results_of(spark, settings, *acts) == [(1, 1, {}, 0), (0, 0, {}, 1), (0, 0, {}, 1), (1, 1, {}, 0)]
    assert paths(Tables.of(spark, settings)) == ["1.jpg", "2.jpg"]
    with workspace_lock(settings.workspace), pytest.raises(PlatformError, match="is working in"):
        next(watch(spark, settings))  # the first poll: nobody is there to read notes yet


def test_a_disk_that_is_full_for_a_while_is_a_note_and_leaves_no_file(spark, make_settings, draw, monkeypatch):
    folder = draw({"a/1.jpg": jpeg(90, 1)})
    settings = make_settings({"sources.images": str(folder)})
    left = Path(Tables.of(spark, settings).location("images"), "part-0.parquet")

    def full(*_):
        left.write_bytes(b"x")
        raise RuntimeError("Caused by: java.io.IOException: No space left on device")

    acts = [
        lambda: (draw({"a/2.jpg": jpeg(91, 2)}), monkeypatch.setattr(ingest, "_ingest_chunk", full)),
        monkeypatch.undo,
    ]
    found = []
    with pytest.raises(Over):
        for result in watch(spark, settings, sleeps(*acts)):
            found.append((result.read, f" {settings.workspace} (" in "".join(result.notes), left.exists()))
    assert found == [(1, False, False), (0, True, False), (1, False, False)]
