"""Which code ran: the version, and the commit where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines import __version__
from pipelines.tracking import code_version as code_version_module
from pipelines.tracking.code_version import code_version

pytestmark = pytest.mark.process


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the package look as if it stood in tmp_path."""
    monkeypatch.setattr(code_version_module, "__file__", str(tmp_path / "pipelines" / "tracking" / "code_version.py"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True, text=True).stdout


def test_a_checkout_has_its_commit_and_says_when_files_differ_from_it(checkout):
    try:
        git(checkout, "init", "-q")
    except FileNotFoundError:
        pytest.skip("needs git")
    (checkout / "a.py").write_text("1")
    assert code_version() == {"version": __version__}  # no commit yet
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "x")
    commit = git(checkout, "rev-parse", "HEAD").strip()
    (checkout / "untracked.txt").write_text("a workspace, for instance")
    assert code_version() == {"version": __version__, "git_commit": commit}
    (checkout / "a.py").write_text("2")
    assert code_version() == {"version": __version__, "git_commit": f"{commit}+changes"}


def test_an_installed_package_has_its_version_alone(checkout):
    assert code_version() == {"version": __version__}


def test_a_machine_without_git_has_the_version_alone(checkout, monkeypatch):
    (checkout / ".git").mkdir()
    monkeypatch.setenv("PATH", str(checkout))
    assert code_version() == {"version": __version__}
