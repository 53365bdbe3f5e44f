"""Machines as they are: no locale, no user name, settings of another Spark, a full disk, closed or cut-off output."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.spark.session import get_session  # noqa: F401 - without Spark there is nothing to test here

HADOOP_ELSEWHERE = """<configuration>
<property><name>fs.defaultFS</name><value>hdfs://127.0.0.1:9</value></property>
<property><name>hadoop.security.authentication</name><value>kerberos</value></property></configuration>"""
SPARK_ELSEWHERE = "spark.master yarn\nspark.sql.ansi.enabled true\nspark.eventLog.enabled true\n"
FOREIGN = {
    "DATABRICKS_RUNTIME_VERSION": None,
    "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC -Dfile.encoding=ISO-8859-1",
    "LC_ALL": "C",
    "PYSPARK_PYTHON": "/nowhere/python",
    "PYSPARK_SUBMIT_ARGS": "--master yarn --driver-memory 1g",
    "PYTHONIOENCODING": "ascii",
    "PYTHONPATH": None,
    "SPARK_HOME": "/opt/spark-2.4.8",
    "SPARK_LOCAL_IP": "192.0.2.1",
    "SPARK_REMOTE": "sc://127.0.0.1:9",
    "SPARK_TESTING": "1",
}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return the words that run `irbis` as its installed script does, from a folder of its own."""
    script = tmp_path / "bin" / "irbis"
    script.parent.mkdir()
    script.write_text("from irbis_entry import main\nmain()\n")
    return [sys.executable, str(script)]


def draw(folder: Path, names: list[str], side: int = 64) -> str:
    """Write images of one noise, which no codec makes smaller; a byte behind each makes them differ."""
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype="uint8")
    Image.fromarray(noise).save(content, "JPEG", quality=95)
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.getvalue() + bytes([i]))
    return str(folder)


def run(
    words: list[str], cwd: Path, environment: Mapping[str, str | None] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    merged = {**os.environ, **(environment or {})}
    env = {name: value for name, value in merged.items() if value is not None}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    return done


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 says that modules of this folder are in the way")
@pytest.mark.skipif(os.name != "posix", reason="needs a Unix")
def test_settings_of_others_and_modules_of_the_current_folder_change_nothing(command, tmp_path):
    project = tmp_path / "Überwachung [2024] 100% #1: α*"
    for name in ("random.py", "select.py", "types.py", "queue.py", "pandas.py", "pipelines/__init__.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("raise SystemExit('my script, not a module')")
    for folder, text in (("hadoop/core-site.xml", HADOOP_ELSEWHERE), ("spark/spark-defaults.conf", SPARK_ELSEWHERE)):
        (tmp_path / folder).parent.mkdir()
        (tmp_path / folder).write_text(text)
    draw(project / "pics", ["jagüar/Bäume_ÑÍ_狐.JPG", "fox/a b%20#1.jpg"])
    foreign = {**FOREIGN, "HADOOP_CONF_DIR": f"{tmp_path}/hadoop", "SPARK_CONF_DIR": f"{tmp_path}/spark"}
    words = [*command, "ingest", "--images", "pics", "--workspace", "Ärger ws"]
    done = run(words, project, foreign)
    assert "ingest: 2 read, 2 written, 0 failed" in done.stdout
    assert sorted(each.name for each in project.iterdir() if each.is_dir()) == ["pics", "pipelines", "Ärger ws"]
    assert list((project / "Ärger ws" / "tables" / "images").glob("part-*.parquet")) != []


def in_namespace(*options: str) -> list[str]:
    """Return the words that run a command in a namespace of its own, or skip."""
    words = ["unshare", *options]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip(f"needs `{shlex.join(words)}`")
    return words


def test_a_user_without_a_name_and_with_a_home_that_cannot_be_written_is_let_in(command, tmp_path):
    words = in_namespace("-U", "--map-user=54321", "--map-group=54321")
    images = draw(tmp_path / "pics", ["fox/a.jpg", "hare/b.jpg"])
    (tmp_path / "home").mkdir()
    if (jars := Path.home() / ".ivy2" / "jars").is_dir():  # without them the run would fetch them
        shutil.copytree(jars, tmp_path / "home" / ".ivy2" / "jars")
    nobody = {"USER": None, "LOGNAME": None, "HOME": str(tmp_path / "home")}
    ingest = [*words, *command, "ingest", "--images", images, "--workspace", str(tmp_path / "w")]
    assert "ingest: 2 read, 2 written, 0 failed" in run(ingest, tmp_path, nobody).stdout


def test_a_disk_that_cannot_take_what_is_found_is_told_before_anything_is_written(command, tmp_path):
    words = in_namespace("-m")
    workspace = tmp_path / "w"
    workspace.mkdir()
    images = draw(tmp_path / "pics", [f"blank/{i:02d}.jpg" for i in range(60)], side=1400)
    ingest = shlex.join([*command, "ingest", "--images", images, "--workspace", str(workspace)])
    script = f"""mount -t tmpfs -o size=100M none {workspace} || exit 77
        {ingest}; echo "left: $?"; find {workspace}/tables -type f; echo end"""
    done = run([*words, "bash", "-c", script], tmp_path)
    assert "left: 2\nend\n" in done.stdout, done.stdout + done.stderr
    said = "irbis: The next commit of ingest \\(60 images\\) needs about \\d+ MB on the disk of .* MB are free"
    assert re.search(said, done.stderr) and "--set ingest.files_per_commit=30" in done.stderr


def test_after_a_full_disk_nothing_half_written_is_left_and_the_same_command_goes_on(command, tmp_path):
    """Another program may take the room after it was looked at: here nobody looks."""
    words = in_namespace("-m")
    Path(command[-1]).write_text(
        "from irbis_entry import main\nfrom pipelines.stages.ingest import stage as ingest\n"
        "ingest.require_free_space = lambda *_, **__: None\nmain()\n"
    )
    workspace = tmp_path / "w"
    workspace.mkdir()
    images = draw(tmp_path / "pics", [f"blank/{i:02d}.jpg" for i in range(60)], side=1400)
    ingest = shlex.join([*command, "ingest", "--images", images, "--workspace", str(workspace)])
    script = f"""mount -t tmpfs -o size=100M none {workspace} || exit 77
        {ingest}; echo "left: $?"; find {workspace}/tables -type f; echo end
        mount -o remount,size=900M {workspace}; {ingest}"""
    done = run([*words, "bash", "-c", script], tmp_path)
    assert "left: 2\nend\n" in done.stdout, done.stdout + done.stderr
    assert f" {workspace} (" in done.stderr
    assert "Traceback" not in done.stderr and "\tat " not in done.stderr
    assert "ingest: 60 read, 60 written, 0 failed" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a Unix shell")
def test_output_that_is_closed_cut_off_or_full_is_no_traceback(command, tmp_path):
    images, irbis = draw(tmp_path / "pics", ["fox/a.jpg", "hare/b.jpg"]), shlex.join(command)
    ingest = f"{irbis} ingest --images {images} --workspace w"
    done = run(["bash", "-c", f"{ingest} >&- 2>&- <&-; echo $?"], tmp_path)
    assert done.stdout == "0\n"
    (record,) = (tmp_path / "w" / "runs").glob("*/ingest.json")
    assert json.loads(record.read_text("utf-8"))["state"] == "succeeded"
    assert "2 read, 2 written" in record.with_suffix(".log").read_text("utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    cut_off = subprocess.run([*command, "config"], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    os.close(writer)
    assert (cut_off.returncode, cut_off.stderr) == (141, b"")
    done = run(["bash", "-c", f"{irbis} config > /dev/full"], tmp_path, code=1)
    assert done.stderr.startswith("irbis: ") and len(done.stderr.splitlines()) == 1
