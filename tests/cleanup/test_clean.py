"""`irbis clean` removes unneeded data, reports the exact bytes, and keeps what may be in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pipelines.cleanup.clean import WorkspaceCleaner
from pipelines.cli.app import main
from pipelines.spark import session
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.lock import workspace_lock
from pipelines.workspace.tables import Tables

from ..stages.conftest import jpeg


def stale(tables, name):
    """Return the bytes of files in a table's folder, with their checksums, but of Delta's note on its last vacuum."""
    files = [path for path in Path(tables.location(name)).rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if "_last_vacuum_info" not in path.name)


def test_files_that_no_snapshot_reads_go_and_the_numbers_are_those_of_the_disk(spark, make_settings, draw):
    settings = make_settings({"sources.images": str(draw({"a.jpg": jpeg(80, 1), "b.jpg": jpeg(90, 2)}))})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    tables.upsert("images", tables.read("images"), ["path"])  # the first files are superseded
    table = Path(tables.location("images"))
    left = [table / "part-0-killed.parquet", table / ".gone.parquet.crc", table / "_delta_log/.0002.json.1.tmp"]
    for file in left:
        file.write_bytes(b"x" * 1000)
    rows = tables.read("images").orderBy("path").collect()
    before = stale(tables, "images")
    dry_lines = list(WorkspaceCleaner(settings, dry_run=True).run(lambda: spark))
    assert stale(tables, "images") == before
    uncommitted, unread = dry_lines[:2]  # Spark's own empty files are uncommitted too
    assert "no commit names" in uncommitted and "no table reads" in unread
    done = list(WorkspaceCleaner(settings).run(lambda: spark))
    assert [line.replace("would be ", "") for line in dry_lines] == done
    freed = int(done[-1].partition(" ")[0].replace(",", ""))
    assert before - stale(tables, "images") == freed > 3000 and not any(file.exists() for file in left)
    assert tables.read("images").orderBy("path").collect() == rows
    assert tables.version("images") == 1  # nothing was committed


def test_bytes_of_files_that_are_no_images_are_cleared_from_rows_of_an_earlier_version(spark, make_settings, draw):
    secret, torn = b"-----BEGIN PRIVATE KEY-----" * 9, jpeg(80, 3)[:300]
    settings = make_settings({"sources.images": str(draw({"a.jpg": jpeg(80, 1), "key.jpg": secret, "t.jpg": torn}))})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    written = F.when(F.col("path").endswith("key.jpg"), F.lit(secret)).otherwise(F.col("content"))
    tables.upsert("images", tables.materialize(tables.read("images").withColumn("content", written)), ["path"])
    key = tables.read("images").where("path like '%key.jpg'")
    before = key.drop("content").collect()
    assert bytes(key.first()["content"]) == secret
    line = f"1 file that is not an image, {len(secret)} bytes"
    assert f"{line} would be deleted" in list(WorkspaceCleaner(settings, dry_run=True).run(lambda: spark))
    assert f"{line} deleted" in list(WorkspaceCleaner(settings).run(lambda: spark))
    key = tables.read("images").where("path like '%key.jpg'")
    assert key.first()["content"] is None and key.drop("content").collect() == before
    held = {bytes(row["content"]) for row in tables.read("images").where("content is not null").collect()}
    assert held == {jpeg(80, 1), torn}
    files = Path(tables.location("images")).rglob("*.parquet")
    assert not any(secret in file.read_bytes() for file in files)


def test_the_command_says_what_is_deleted_and_does_nothing_while_another_writes(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "get_session", lambda *_, **__: None)
    monkeypatch.setattr(WorkspaceCleaner, "run", lambda self, _: [f"{self.dry_run}"])
    words = ["clean", "--workspace", str(tmp_path)]
    main(words)
    main([*words, "--dry-run"])
    assert capsys.readouterr().out == "clean: False\nclean: True\n"
    with workspace_lock(str(tmp_path)), pytest.raises(SystemExit, match="2"):
        main(words)
    assert "is working in" in capsys.readouterr().err
