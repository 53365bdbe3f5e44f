"""Create the environments of the engines that irbis does not depend on.

    python benchmarks/featurize/environments.py [NAME ...]

An environment has the packages of requirements-NAME.txt and is created once, in .tools/bench/NAME (ignored by git).
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


def environment_python(name: str) -> Path:
    """Return the Python of an environment; create it if it is missing or its requirements have changed.

    Raises SystemExit without uv, or if the packages cannot be installed.
    """
    requirements = HERE / f"requirements-{name}.txt"
    folder = TOOLS / "bench" / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if ready.is_file() and ready.read_text() == digest and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted attempt
    uv = find_uv()
    run_command([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], name)
    run_command([uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)], name)
    ready.write_text(digest)  # last: marks the environment as complete
    return python


def find_uv() -> str:
    """Return the uv on PATH, else the one that `make` installed."""
    fetched = TOOLS / "bin" / "uv"
    uv = shutil.which("uv") or (str(fetched) if fetched.is_file() else None)
    if uv is None:
        raise SystemExit("No uv was found on PATH or in .tools/bin. Install uv, or run `make .tools/bin/uv`.")
    return uv


def run_command(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"The environment {name} could not be created. `{' '.join(command)}` failed:\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Create the environments of the other engines.")
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help=" or ".join(NAMES))
    for name in parser.parse_args().names:
        print(f"{name}: {environment_python(name)}", flush=True)


if __name__ == "__main__":
    main()
