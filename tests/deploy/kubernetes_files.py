"""The files of deploy/kubernetes, parsed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.spark_names import read_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
IN_IMAGE = "/opt/irbis/"
PODS = ("pod.yaml", "pod-gpu.yaml", "look.yaml")


def dockerfile_instructions() -> list[tuple[str, str]]:
    """Return (instruction, its arguments) in order, with continued lines joined."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines if line.strip())]


def spark_settings(name: str) -> dict[str, str]:
    return read_settings(FOLDER / name)


def documents(name: str) -> list[dict[str, Any]]:
    """Return the YAML documents of a file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))
