"""Removed and moved images: excluded at once, deleted later."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from pipelines.cleanup import clean
from pipelines.config.loader import load_settings
from pipelines.evaluation.split import labelled_images
from pipelines.stages.ingest import removals
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables, content_ingested_at

from ..conftest import NOON, changed, jpeg, rows

SURVEY = {f"{label}/{n}.jpg": jpeg(80 + 9 * n, n, NOON) for n, label in enumerate(["fox"] * 4 + ["hare"] * 4)}


def notes_on_paths(result):
    """Return the notes of an ingest on paths and bytes; others are on groups, labels, copies and other files."""
    kinds = ("moved", "gone from the source", "unchanged except", " deleted, ", "could not be listed")
    return tuple(note for note in result.notes if any(kind in note for kind in kinds))


@pytest.fixture(scope="module")
def ingested(spark, tmp_path_factory):
    """Return a folder with the survey and a workspace with it ingested, once for all tests."""
    place = tmp_path_factory.mktemp("removals")
    write_survey(place / "images")
    places = {"workspace": str(place / "workspace"), "sources.images": str(place / "images")}
    ingest.run(spark, load_settings(None, places))
    return place


def write_survey(folder):
    for name, content in SURVEY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1, 1))


@pytest.fixture
def folder(ingested):
    """Return the folder of the survey, as it was ingested."""
    for name in ("images", "2024"):
        shutil.rmtree(ingested / name, ignore_errors=True)
    write_survey(ingested / "images")
    return ingested / "images"


@pytest.fixture
def chosen(ingested, folder, make_settings, tmp_path):
    """Return the settings of a workspace copy with the survey ingested."""
    shutil.copytree(ingested / "workspace", tmp_path / "workspace")
    return make_settings({"sources.images": str(folder)})


def labels(tables):
    """Return {name: label} of the images for training."""
    found = labelled_images(tables.latest_images()).collect()
    return {row["path"].rpartition("/")[2]: row["label"] for row in found}


def contents(tables):
    """Return {last folder and name: bytes} of the current images."""
    current = tables.materialize(tables.latest_images())
    since = current.agg(F.min(content_ingested_at())).first()[0]
    found = tables.with_content(current, since).collect()
    assert len(found) == current.count()
    return {"/".join(row["path"].split("/")[-2:]): bytes(row["content"]) for row in found}


def stored(tables):
    return tables.read("images").where("content is not null").count()


def test_labels_corrected_by_moving_files_hold_for_all_images_and_no_bytes_are_stored_again(spark, chosen, folder):
    for name in ("2.jpg", "3.jpg"):
        (folder / "fox" / name).rename(folder / "hare" / name)
    result = ingest.run(spark, chosen)
    pair = f"file://{folder}/fox/2.jpg -> file://{folder}/hare/2.jpg"
    assert (result.read, notes_on_paths(result)) == (2, (f"2 images moved, first {pair}.",))
    tables = Tables.of(spark, chosen)
    assert labels(tables) == {f"{n}.jpg": "fox" if n < 2 else "hare" for n in range(8)}
    assert (tables.version("images"), stored(tables)) == (1, 8)  # gone and come in one commit
    moved = {f"hare/{n}.jpg": SURVEY[f"fox/{n}.jpg"] for n in (2, 3)}
    assert contents(tables) == {name: SURVEY[name] for name in SURVEY if name not in ("fox/2.jpg", "fox/3.jpg")} | moved
    again = ingest.run(spark, chosen)
    assert (again.read, again.written, notes_on_paths(again), tables.version("images")) == (0, 0, (), 1)


@pytest.mark.parametrize("is_inside", [True, False], ids=["class", "survey"])
def test_a_renamed_folder_is_the_same_images_in_every_number_of_commits(spark, chosen, folder, is_inside):
    if is_inside:
        (folder / "hare").rename(folder / "rabbit")
        (folder / "fox").rename(folder / "vixen")
    else:
        (folder / "fox/0.jpg").unlink()  # at the same time
        folder = folder.rename(folder.parent / "2024")
    settings = changed(changed(chosen, "sources", images=str(folder)), "ingest", files_per_commit=3)
    result = ingest.run(spark, settings)
    tables = Tables.of(spark, chosen)
    if is_inside:
        assert notes_on_paths(result)[0].startswith("8 images moved, first ") and len(notes_on_paths(result)) == 1
        assert labels(tables) == {f"{n}.jpg": "vixen" if n < 4 else "rabbit" for n in range(8)}
    else:
        moved, gone = notes_on_paths(result)
        assert moved.startswith("7 images moved, first ")
        assert gone.startswith(f"1 image is gone from the source, first file://{folder.parent}/images/fox/0.jpg.")
        assert labels(tables) == {f"{n}.jpg": "fox" if n < 4 else "hare" for n in range(1, 8)}
    assert all(path.startswith(f"file://{folder}/") for (path,) in rows(tables, "path"))
    assert stored(tables) == 8


def test_images_of_other_sources_that_are_there_are_left_alone(spark, chosen, folder, draw):
    other = draw({"new/a.jpg": jpeg(200, 99), "new/copy.jpg": SURVEY["fox/0.jpg"]}, "new set")
    there = changed(chosen, "sources", images=str(other), labels="none")
    assert notes_on_paths(ingest.run(spark, there)) == ()
    tables = Tables.of(spark, chosen)
    (folder / "fox/1.jpg").unlink()
    inside = changed(chosen, "sources", images=str(folder / "hare"), labels="none")
    assert notes_on_paths(ingest.run(spark, inside)) == ()
    assert notes_on_paths(ingest.run(spark, there)) == ()
    assert len(rows(tables, "path")) == 10
    assert len(notes_on_paths(ingest.run(spark, chosen))) == 1  # the source that holds it
    assert len(rows(tables, "path")) == 9


def test_a_listing_says_nothing_of_other_suffixes_and_of_what_could_not_be_listed(spark, chosen, folder, monkeypatch):
    (folder / "fox/0.jpg").unlink()
    (folder / "fox/1.jpg").rename(folder / "fox/1.txt")
    png = changed(chosen, "sources", extensions=["png"])
    assert notes_on_paths(ingest.run(spark, png)) == ()
    tables = Tables.of(spark, chosen)
    assert len(rows(tables, "path")) == 8
    (folder / "dangling").symlink_to(folder / "nowhere")
    present = f"file://{folder}/fox/1.jpg"
    monkeypatch.setattr(removals, "is_absent", lambda path: path != present)  # as in a folder that was not readable
    problem, gone = notes_on_paths(ingest.run(spark, chosen))
    assert problem.startswith("1 files could not be listed")
    assert gone.startswith(f"1 image is gone from the source, first file://{folder}/fox/0.jpg.")
    assert len(rows(tables, "path")) == 7


def test_where_too_large_a_share_is_gone_the_rows_are_kept_until_it_is_confirmed(spark, chosen, folder):
    tables, names = Tables.of(spark, chosen), sorted(SURVEY)
    for count in (5, 8):  # of an emptied folder too: a drive may be missing
        for name in names[:count]:
            (folder / name).unlink(missing_ok=True)
        result = ingest.run(spark, chosen)
        (note,) = notes_on_paths(result)
        first = f"first file://{folder}/fox/0.jpg"
        assert note.startswith(f"{count} of 8 images are gone from the source, {first}. That is more than")
        assert result.persistent_notes == (note,) and "--set ingest.max_removed_fraction=1" in note
        assert tables.version("images") == 0
    (note,) = notes_on_paths(ingest.run(spark, changed(chosen, "ingest", max_removed_fraction=1.0)))
    assert note.startswith(f"8 images are gone from the source, {first}. Training")
    assert rows(tables, "path") == []


def test_an_image_that_comes_back_is_current_again_without_being_stored_again(spark, chosen, folder, tmp_path):
    shutil.move(folder / "fox/0.jpg", tmp_path / "away.jpg")
    before = rows(Tables.of(spark, chosen), "path", "label", "burst_id", "group_id", "failure")
    ingest.run(spark, chosen)
    tables = Tables.of(spark, chosen)
    assert len(rows(tables, "path")) == 7
    shutil.move(tmp_path / "away.jpg", folder / "fox/0.jpg")
    assert ingest.run(spark, chosen).read == 1
    assert rows(tables, "path", "label", "burst_id", "group_id", "failure") == before
    assert contents(tables) == SURVEY and stored(tables) == 8


def test_what_was_killed_between_two_commits_is_completed(spark, chosen, folder, monkeypatch):
    (folder / "hare").rename(folder / "rabbit")
    (folder / "fox/0.jpg").unlink()
    monkeypatch.setattr(ingest, "mark_removed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ingest.run(spark, chosen)
    tables = Tables.of(spark, chosen)
    assert len(rows(tables, "path")) == 8  # the moved ones once, the lost one still
    monkeypatch.undo()
    (note,) = notes_on_paths(ingest.run(spark, chosen))
    assert note.startswith("1 image is gone")
    assert labels(tables) == {f"{n}.jpg": "fox" if n < 4 else "rabbit" for n in range(1, 8)}


def cleaned(spark, settings, dry_run=False):
    """Return what cleaning says of the workspace alone, not of this machine's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean, "find_leftovers", lambda settings: [])
        return list(clean.WorkspaceCleaner(settings, dry_run).run(lambda: spark))


def on_disk(tables):
    """Return the contents in all data files of the table, including files that the table no longer refers to."""
    files = Path(tables.location("images")).glob("*.parquet")
    return {content for file in files for content in pq.read_table(file).column("content").to_pylist() if content}


def test_clean_deletes_what_is_gone_and_keeps_what_an_image_that_is_there_needs(spark, chosen, folder):
    tables = Tables.of(spark, chosen)
    (folder / "fox/0.jpg").unlink()
    (folder / "hare/4.jpg").rename(folder / "fox/4.jpg")
    ingest.run(spark, chosen)
    hashes = {row["path"][-5:]: row["content_hash"] for row in tables.read("images").collect()}
    for name in ("features", "detections", "regions", "predictions"):
        found = tables.read("images").where("removed_at is null").select("path", "content_hash").distinct()
        blank = [F.lit(None).cast(kind).alias(c) for c, kind in tables.read(name).dtypes if c not in found.columns]
        key = ["path" if name == "predictions" else "content_hash"]
        tables.append(name, found.select("*", *blank).dropDuplicates(key))
    assert on_disk(tables) == set(SURVEY.values())
    size = len(SURVEY["fox/0.jpg"])
    assert f"1 removed image, {size:,} bytes would be deleted" in cleaned(spark, chosen, dry_run=True)
    assert SURVEY["fox/0.jpg"] in on_disk(tables)
    assert f"1 removed image, {size:,} bytes deleted" in cleaned(spark, chosen)
    assert on_disk(tables) == set(SURVEY.values()) - {SURVEY["fox/0.jpg"]}
    moved = {"fox/4.jpg": SURVEY["hare/4.jpg"]}
    expected = {name: content for name, content in SURVEY.items() if name not in ("fox/0.jpg", "hare/4.jpg")} | moved
    assert contents(tables) == expected
    assert not tables.read("images").where(F.col("path").endswith("/fox/0.jpg")).count()
    for name in ("features", "detections", "regions"):
        left = {row["content_hash"] for row in tables.read(name).collect()}
        assert left == set(hashes.values()) - {hashes["0.jpg"]}
    assert not tables.read("predictions").where(F.col("path").endswith("/fox/0.jpg")).count()
    assert cleaned(spark, chosen, dry_run=True) == ["0 bytes would be freed"]
    (folder / "fox/0.jpg").write_bytes(SURVEY["fox/0.jpg"])
    assert ingest.run(spark, chosen).written == 1
    assert contents(tables) == expected | {"fox/0.jpg": SURVEY["fox/0.jpg"]}


def test_bytes_go_by_themselves_after_the_set_time(spark, chosen, folder):
    tables = Tables.of(spark, chosen)
    (folder / "fox/0.jpg").unlink()
    result = ingest.run(spark, chosen)
    at = tables.read("images").agg(F.max("removed_at")).first()[0].astimezone(result.due.tzinfo)
    assert result.due == at + timedelta(days=30)
    assert SURVEY["fox/0.jpg"] in on_disk(tables)
    result = ingest.run(spark, changed(chosen, "ingest", keep_removed_days=0.0))
    size = len(SURVEY["fox/0.jpg"])
    assert notes_on_paths(result) == (
        f"1 removed image, {size:,} bytes deleted, 0 days after removal from the source.",
    )
    assert result.due is None and SURVEY["fox/0.jpg"] not in on_disk(tables)
