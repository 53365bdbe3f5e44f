"""Make the environments of the engines that irbis does not depend on, each once.

    python benchmarks/featurize/environments.py [NAME ...]

An environment holds what requirements-NAME.txt says, and lies in the repository's .tools/bench/NAME, which git ignores.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / ".tools"
NAMES = ("ray", "daft")


def python_of(name: str) -> Path:
    """Give the python of the named environment, which is made first if it is missing or its requirements have changed.

    Raises SystemExit if there is no uv or the packages cannot be had.
    """
    requirements = HERE / f"requirements-{name}.txt"
    folder = TOOLS / "bench" / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if ready.is_file() and ready.read_text() == wanted and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted attempt left
    uv = find_uv()
    call([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], name)
    call([uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)], name)
    ready.write_text(wanted)  # last: only a whole environment has it
    return python


def find_uv() -> str:
    """Give the uv on PATH, else the one that `make` fetched."""
    fetched = TOOLS / "bin" / "uv"
    uv = shutil.which("uv") or (str(fetched) if fetched.is_file() else None)
    if uv is None:
        raise SystemExit("No uv was found on PATH or in .tools/bin. Install uv, or run `make .tools/bin/uv`.")
    return uv


def call(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"The environment {name} could not be made; `{' '.join(command)}` said:\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the environments of the other engines.")
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help=" or ".join(NAMES))
    for name in parser.parse_args().names:
        print(f"{name}: {python_of(name)}", flush=True)


if __name__ == "__main__":
    main()
