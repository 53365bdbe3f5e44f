"""Say which code is running, for the records of runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipelines import __version__


def code_version() -> dict[str, str]:
    """Give the package's version and, in a checkout, the git commit (with `+changes` where files differ from it)."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {"version": __version__}
    commit = _git(folder, "rev-parse", "HEAD")
    changes = "+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
    return {"version": __version__, "git_commit": commit + changes} if commit else {"version": __version__}


def _git(folder: Path, *words: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # a machine without git
    return answer.stdout.strip() if answer.returncode == 0 else ""  # no commit yet, or not our repository
