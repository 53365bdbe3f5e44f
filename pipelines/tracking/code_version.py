"""The version of the running code, for the records of runs."""

from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path

from pipelines import __version__

BUILD_FILE = "build.json"  # in the package


def code_version() -> dict[str, str]:
    """Return `version` and `git_commit`, the latter with `+changes` if tracked files differ from it.

    Runs git in a checkout; a wheel contains the commit it was built from.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {"version": __version__, **_read_build_file()}
    commit = _git(folder, "rev-parse", "HEAD")
    changes = "+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
    return {"version": __version__, "git_commit": commit + changes} if commit else {"version": __version__}


def _read_build_file() -> dict[str, str]:
    """Return what hatch_build.py has written into the wheel; empty for a bare copy of the files."""
    file = resources.files("pipelines") / BUILD_FILE
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _git(folder: Path, *words: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # a machine without git
    return answer.stdout.strip() if answer.returncode == 0 else ""  # no commit yet, or not our repository
