"""From a container to a report as a user types it; and nothing that was written or said holds a secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from pipelines.config import load_settings
from pipelines.storage.tables import Tables
from tests.azurite import KEY

from ..stages.conftest import survey_pictures
from .conftest import closing_lines

# Everything that logs is logged, by the driver and by Spark.
LOUD = (
    "import logging, sys; logging.basicConfig(level=logging.DEBUG); from pipelines.cli import main; main(sys.argv[1:])"
)
SIGNED = re.compile(rb"sig=(?!\*\*\*)[A-Za-z0-9%+/]{8}")


def test_a_container_becomes_a_report_and_no_secret_is_left_anywhere(container, spark, tmp_path):
    for name, content in survey_pictures().items():
        container.upload_blob(f"2024/{name}", content)
    words = ["run", "--images", f"{container.url}/2024", "--workspace", "w", "--verbose"]
    quick = ["--set=train.max_iter=10", "--set=train.bootstrap=100", "--set=sources.station=folder:1"]
    done = subprocess.run(
        [sys.executable, "-c", LOUD, *words, *quick],
        cwd=tmp_path,
        env={**os.environ, "IRBIS_AZURE__ACCOUNT_KEY": KEY},
        capture_output=True,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:].decode()
    lines = closing_lines(done.stdout.decode())
    assert "ingest: 180 read, 180 written, 0 failed" in lines["ingest"]
    assert lines["report"].endswith("report.html")
    assert b"DEBUG:urllib3" in said  # it was loud indeed
    assert KEY.encode() not in said and not SIGNED.search(said)
    files = [path for path in (tmp_path / "w").rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content and not SIGNED.search(content), path
    tables = Tables.of(spark, load_settings(None, {"workspace": str(tmp_path / "w")}))
    for name in ("images", "predictions"):
        paths = [row["path"] for row in tables.read(name).select("path").collect()]
        assert len(paths) == 180 and all(path.startswith(f"{container.url}/2024/S") for path in paths)
