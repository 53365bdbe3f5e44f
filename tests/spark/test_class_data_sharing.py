"""Java's archive of classes: made once by a real Java, used from then on, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.spark import java as java_module
from pipelines.spark.class_data_sharing import class_data_sharing_options
from pipelines.spark.java import Java

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def java() -> Java:
    found = java_module.find_java()
    if found.version < 13:
        pytest.skip(f"Java {found.version} keeps no archive")
    return found


def ran(java: Java, options: list[str]) -> str:
    # Any class outside Java's own archive will do; `-version` alone loads none.
    command = [java.home / "bin" / "java", *options, "-Xlog:class+load", "-cp", ".", "--list-modules"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_first_java_leaves_an_archive_and_the_next_uses_it(java, tmp_path):
    first = class_data_sharing_options(java, ["spark 1"], tmp_path)
    assert first[-2].startswith("-XX:ArchiveClassesAtExit=")
    ran(java, first)
    second = class_data_sharing_options(java, ["spark 1"], tmp_path)
    archive = next(path for path in tmp_path.glob("*.jsa") if not path.stem.endswith("-java"))
    assert second[0] == f"-XX:SharedArchiveFile={archive}" and not list(tmp_path.glob("*.new"))
    assert "shared objects file (top)" in ran(java, [*second, "-Xshare:on"])
    assert "shared objects file (top)" not in ran(java, [])


def test_other_classes_get_an_archive_of_their_own(java, tmp_path):
    ran(java, class_data_sharing_options(java, ["spark 1"], tmp_path))
    assert class_data_sharing_options(java, ["spark 2"], tmp_path)[-2].startswith("-XX:ArchiveClassesAtExit=")


@pytest.mark.parametrize(("content", "moment"), [(b"longer", 1e9), (b"jar", 1e9 + 7)])
def test_jars_that_were_installed_anew_get_one_too(java, tmp_path, content, moment):
    jar = tmp_path / "spark.jar"
    jar.write_bytes(b"jar")
    os.utime(jar, (1e9, 1e9))
    ran(java, class_data_sharing_options(java, [str(jar)], tmp_path))
    assert class_data_sharing_options(java, [str(jar)], tmp_path)[0].startswith("-XX:SharedArchiveFile=")
    jar.write_bytes(content)
    os.utime(jar, (moment, moment))
    assert class_data_sharing_options(java, [str(jar)], tmp_path)[-2].startswith("-XX:ArchiveClassesAtExit=")


def test_who_starts_while_another_is_making_it_does_without(java, tmp_path):
    class_data_sharing_options(java, ["spark"], tmp_path)
    assert class_data_sharing_options(java, ["spark"], tmp_path) == []


def test_a_brief_session_uses_an_archive_but_makes_none(java, tmp_path):
    assert class_data_sharing_options(java, ["spark"], tmp_path, create=False) == []
    ran(java, class_data_sharing_options(java, ["spark"], tmp_path))
    assert class_data_sharing_options(java, ["spark"], tmp_path, create=False)[0].startswith("-XX:SharedArchiveFile=")


def test_an_archive_that_was_cut_off_create_anew(java, tmp_path):
    class_data_sharing_options(java, ["spark"], tmp_path)
    (cut,) = (path for path in tmp_path.glob("*.new"))
    cut.write_bytes(bytes(4096))  # the JVM writes the header last
    long_ago = time.time() - 3600
    os.utime(cut, (long_ago, long_ago))
    assert class_data_sharing_options(java, ["spark"], tmp_path)[-2].startswith("-XX:ArchiveClassesAtExit=")
    assert cut.stat().st_size == 0


@pytest.mark.parametrize("name", ["other.jsa", "other.123.new"])
def test_an_archive_that_nobody_uses_goes(java, tmp_path, name):
    old = tmp_path / name
    old.write_bytes(b"\xa8\xab\x0b\xf0")  # whole, as the JVM begins one
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    class_data_sharing_options(java, ["spark"], tmp_path)
    assert not old.exists()


def test_a_java_without_an_archive_of_its_own_gets_one(java, tmp_path):
    bare = tmp_path / "java"
    shutil.copytree(java.home, bare, symlinks=False, ignore=shutil.ignore_patterns("classes*.jsa", "src.zip"))
    lean = Java(bare, java.version, "JAVA_HOME")
    ran(lean, class_data_sharing_options(lean, ["spark"], tmp_path / "classes"))
    assert "shared objects file (top)" in ran(lean, class_data_sharing_options(lean, ["spark"], tmp_path / "classes"))


@pytest.mark.parametrize("version", [8, 11])
def test_a_java_that_keeps_no_archive_starts_as_it_is(version, tmp_path):
    assert class_data_sharing_options(Java(Path("/java"), version, "JAVA_HOME"), [], tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_a_place_where_nothing_can_be_written_is_no_reason_not_to_start(java, tmp_path):
    (tmp_path / "file").touch()
    assert class_data_sharing_options(java, ["spark"], tmp_path / "file" / "classes") == []


@pytest.mark.parametrize("option", ["-javaagent:/opt/agent.jar", "-agentpath:/a.so", "-XX:StartFlightRecording"])
def test_a_java_whose_classes_are_rewritten_gets_no_archive(java, tmp_path, monkeypatch, option):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Dx=y {option}")
    assert class_data_sharing_options(java, ["spark"], tmp_path) == []
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dx=y")
    assert class_data_sharing_options(java, ["spark"], tmp_path) != []
