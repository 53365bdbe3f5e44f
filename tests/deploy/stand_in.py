"""Commands of the same name that note how they were called, put first on PATH: a cloud cannot be had in a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NOTE = """#!{python}
import json, os, sys
from pathlib import Path
given = sys.argv[1:]
text = sys.stdin.read() if "@-" in given or {reads!r} else ""
with open({record!r}, "a") as file:
    file.write(json.dumps([{name!r}, given, text]) + "\\n")
answers = {answers!r}
line = " ".join(given)
status, out = next((answers[key] for key in answers if key in line), (0, ""))
print(out, end="" if out.endswith("\\n") or not out else "\\n")
sys.exit(status)
"""


class StandIns:
    """A folder of such commands, and the arguments of their calls."""

    def __init__(self, folder: Path):
        self.folder, self.record = folder / "bin", folder / "calls.jsonl"
        self.folder.mkdir(parents=True)

    def add(self, name: str, answers: dict[str, tuple[int, str]] | None = None, *, reads: bool = False) -> None:
        """Put a command there that gives the answer (exit code, output) of the first key found in its arguments."""
        text = NOTE.format(
            python=sys.executable, reads=reads, record=str(self.record), name=name, answers=dict(answers or {})
        )
        self.script(name, text)

    def script(self, name: str, text: str) -> None:
        """Put this text there as a command."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call, in order."""
        return [given for called, given, _ in self._all() if called == name]

    def texts(self, name: str) -> list[str]:
        """Return what each call read from standard input."""
        return [text for called, _, text in self._all() if called == name]

    def _all(self) -> list[tuple[str, list[str], str]]:
        if not self.record.is_file():
            return []
        return [tuple(json.loads(line)) for line in self.record.read_text(encoding="utf-8").splitlines()]

    def run(
        self, *command: str, said: str = "", path: str = "/usr/bin:/bin", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that finds these first; `said` is typed at it."""
        environment = {"PATH": f"{self.folder}:{path}", "HOME": os.environ["HOME"], **variables}
        return subprocess.run(command, input=said, env=environment, capture_output=True, text=True)
