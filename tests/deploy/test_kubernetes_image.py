"""The Dockerfile of deploy/kubernetes: what it copies, installs and runs as. No image is built."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.kubernetes_files import FOLDER, IN_IMAGE, ROOT, dockerfile_instructions


def test_the_dockerfile_has_only_instructions_that_there_are_and_begins_and_ends_with_the_right_ones():
    words = [word for word, _ in dockerfile_instructions()]
    assert set(words) <= {"ARG", "FROM", "RUN", "LABEL", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT"}
    assert words[:2] == ["ARG", "FROM"] and words.count("FROM") == 1
    assert words[-2:] == ["USER", "ENTRYPOINT"]  # so that nothing runs as root after the last of them


def test_what_the_image_copies_is_there_and_is_let_through_by_dockerignore():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for word, rest in dockerfile_instructions():
        for source in rest.split()[:-1] if word == "COPY" else []:
            assert any(source == each or source.startswith(each + "/") for each in kept), source
            assert source.startswith("dist/") or (ROOT / source).exists(), source


def test_the_wheel_that_is_copied_is_the_one_that_make_builds():
    from pipelines import __version__

    (pattern,) = re.findall(r"COPY dist/(\S+)", (FOLDER / "Dockerfile").read_text(encoding="utf-8"))
    assert fnmatch.fnmatch(f"irbis-{__version__}-py3-none-any.whl", pattern)
    assert f"irbis:{__version__} " in (FOLDER / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.process
@pytest.mark.parametrize(
    ("base", "is_taken"),
    [
        (f"python:3.12-slim-bookworm@sha256:{'0af9' * 16}", True),
        ("python:3.12-slim-bookworm", False),
        ("python:3.12-slim-bookworm@sha256:", False),  # as from an inspect that failed
        ("", False),
    ],
)
def test_the_image_is_built_only_on_one_that_a_digest_names(base, is_taken):
    instructions = dockerfile_instructions()
    assert dict(instructions)["FROM"] == "$BASE" and instructions.count(("ARG", "BASE")) == 2
    check = next(rest for word, rest in instructions if word == "RUN")
    done = subprocess.run(["sh", "-c", check], env={"BASE": base}, capture_output=True, text=True)
    assert (done.returncode == 0) is is_taken and ("Expected python:3.12" in done.stderr) is not is_taken
    assert ("LABEL", 'org.opencontainers.image.base.name="$BASE"') in instructions


def test_packages_come_in_the_locks_versions_on_a_python_and_a_java_that_suit():
    text = "\n".join(f"{word} {rest}" for word, rest in dockerfile_instructions())
    installs = re.findall(r"pip install ([^&]*)", text)
    assert [re.findall(r"/opt/irbis/\S+", words) for words in installs] == [
        ["/opt/irbis/build.txt"],
        ["/opt/irbis/kubernetes.txt"],
        ["/opt/irbis/irbis-*.whl"],
    ]
    assert all("--require-hashes --only-binary :all:" in words for words in installs[:2])
    assert "--no-deps" in installs[2] and "--no-build-isolation" in installs[1]
    assert "COPY requirements/build.txt requirements/kubernetes.txt /opt/irbis/" in text
    for told in ("deploy/kubernetes/Dockerfile", "docs/deploy/kubernetes.md"):
        assert re.search(r"BASE=python:3\.1[0-2]-slim-\w+\n", (ROOT / told).read_text("utf-8")), told
    assert "openjdk-17-jre-headless" in text
    assert "--index" not in text


def test_the_entry_point_is_copied_may_be_run_and_is_an_array():
    (entry,) = json.loads(dict(dockerfile_instructions())["ENTRYPOINT"])
    assert entry.startswith(IN_IMAGE) and os.access(FOLDER / entry.removeprefix(IN_IMAGE), os.X_OK)


def test_jars_of_which_spark_has_a_version_are_not_added():
    spec = importlib.util.spec_from_file_location("jars", FOLDER / "jars.py")
    assert spec and spec.loader
    jars = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(jars)
    resolved = [
        "io.delta_delta-spark_2.12-3.3.3.jar",
        "com.google.guava_guava-27.0-jre.jar",
        "com.google.guava_failureaccess-1.0.jar",
        "org.antlr_antlr4-runtime-4.9.3.jar",
        "org.eclipse.jetty_jetty-util-9.4.43.v20210629.jar",
    ]
    there = ["guava-14.0.1.jar", "antlr4-runtime-4.9.3.jar", "spark-core_2.12-3.5.9.jar", "log4j-1.2-api-2.20.0.jar"]
    kept = [path.name for path in jars.lacking(map(Path, resolved), map(Path, there))]
    assert kept == [resolved[0], resolved[2], resolved[4]]
