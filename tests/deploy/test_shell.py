"""Every shell script of the project passes shellcheck."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
SCRIPTS = [*ROOT.glob("deploy/**/*.sh"), ROOT / "requirements/lock.sh", ROOT / ".ci/run"]


@pytest.mark.skipif(SHELLCHECK is None, reason="needs shellcheck, which the environment `dev` brings")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_has_nothing_to_say(script):
    done = subprocess.run([str(SHELLCHECK), str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_scripts_that_are_called_by_their_name_may_be_run():
    called = [path for path in SCRIPTS if path.parent != ROOT / "deploy" and path.name != "lock.sh"]
    assert [path.name for path in called if not path.stat().st_mode & 0o100] == []
    assert all(path.read_text(encoding="utf-8").startswith("#!") for path in SCRIPTS)
