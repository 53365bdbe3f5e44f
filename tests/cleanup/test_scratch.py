"""What a killed process leaves in the scratch folder goes at once; what a running one uses stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cleanup.leftovers import find_leftovers
from pipelines.processes import temporary_folder

pytestmark = pytest.mark.process


def test_what_a_killed_process_leaves_in_scratch_is_a_leftover_at_once(make_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = make_settings()
    scratch = Path(settings.workspace, "scratch")
    code = (
        "import os, pathlib\nfrom pipelines.processes import temporary_folder\n"
        f"with temporary_folder(pathlib.Path({str(scratch)!r})) as folder:\n"
        "    (folder / 'model').write_bytes(b'0123')\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    left = list(scratch.iterdir())
    with temporary_folder(scratch) as used:
        (used / "model").write_bytes(b"45")
        found = [each for each in find_leftovers(settings) if each.singular == "scratch entry"]
        assert [each.paths for each in found] == [tuple(left)] and len(left) == 1
        assert found[0].sizes() == {left[0]: 4}
