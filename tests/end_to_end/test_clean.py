"""What a killed run and old runs have left is said to the byte, freed to the byte, and the tables are as they were."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

from ..same_tables import assert_same_tables
from .test_interrupted import begun, drawn

WORDS = ["ingest", "--images", "survey", "--workspace", "w", "--set", "ingest.files_per_commit=45"]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def aged(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * 86_400,) * 2)


def test_clean_frees_what_it_said_and_the_tables_are_the_same(irbis, spark, tmp_path):
    drawn(tmp_path / "survey")
    running = begun(WORDS, tmp_path, commits=1)  # of four
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    workspace = tmp_path / "w"
    table, whole = workspace / "tables/images", next(workspace.glob("tables/images/part-*.parquet"))
    shutil.copy(whole, table / "part-00000-0a0b-killed.snappy.parquet")  # at whatever moment it was killed
    (table / "_delta_log/.00000000000000000009.json.0a.tmp").write_bytes(b"x" * 100)
    for name, days in (("run-20260101-120000-0a1b", 40), ("run-20260201-120000-0a1b", 20)):
        (workspace / "runs" / name).mkdir(parents=True)  # killed before it had a record, or after
        for file in ("run.log", "run.json"):
            (workspace / "runs" / name / file).write_bytes(b"x" * 1000)
            aged(workspace / "runs" / name / file, days)
        aged(workspace / "runs" / name, days)
    shutil.copytree(workspace, tmp_path / "before")
    parts = [workspace / "tables", workspace / "runs"]
    size = sum(map(size_of, parts))
    # Neither the caches nor the temporary folders of whoever runs the tests.
    ivy = json.dumps({"spark.jars.ivy": str(Path.home() / ".ivy2")})
    (tmp_path / "home/tmp").mkdir(parents=True)
    own = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "home/tmp"), "IRBIS_SPARK__CONF": ivy}
    said = irbis("clean", "--workspace", "w", "--dry-run", env=own).stdout.splitlines()
    assert sum(map(size_of, parts)) == size
    done = irbis("clean", "--workspace", "w", env=own).stdout.splitlines()
    assert [line.replace("would be ", "") for line in said] == done
    assert re.fullmatch(r"clean: \d+ files of tables that no commit names, [\d,]+ bytes removed", done[0])
    assert "clean: 1 run folder, 2,000 bytes removed" in done
    freed = int(re.fullmatch(r"clean: ([\d,]+) bytes freed", done[-1])[1].replace(",", ""))
    assert size - sum(map(size_of, parts)) == freed >= whole.stat().st_size + 2100
    assert [path.name for path in (workspace / "runs").glob("run-2026*")] == ["run-20260201-120000-0a1b"]
    assert_same_tables(spark, tmp_path / "before", workspace, ["images"])
    assert irbis("clean", "--workspace", "w", env=own).stdout == "clean: 0 bytes freed\n"
