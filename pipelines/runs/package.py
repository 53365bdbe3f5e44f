"""What goes with a run that is sent elsewhere: its settings, as words of the command, and the wheel of this code."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pipelines
from pipelines.config.loader import MAPPINGS, SourcedValue, load_sourced_values
from pipelines.config.types import parse_mapping
from pipelines.errors import PlatformError
from pipelines.redaction import contains_secret

LOCAL_ONLY_PREFIXES = ("spark.", "runs.", "databricks.", "hdinsight.")  # they say how things are here
# Options that mean more to the command than a setting that is given otherwise.
_OPTIONS = {"sources.images": "--images", "sources.dataset": "--dataset", "sources.labels": "--labels"}


def non_default_settings(origins: Mapping[str, SourcedValue]) -> tuple[dict[str, Any], list[str]]:
    """Give the settings that are not those of conf/base.yaml, and the names of those left out: they hold secrets.

    A reference to a secret, {{secrets/SCOPE/KEY}}, is none. Of a mapping only the items that hold one are left out.
    """
    plain, secret = _base_settings(), list[str]()
    differ = {key: origin.value for key, origin in origins.items() if origin.value != plain.get(key)}
    for key in [key for key, value in differ.items() if contains_secret(key, value)]:
        value = differ.pop(key)
        items = parse_mapping(value) if key in MAPPINGS else None
        open_ = {name: item for name, item in (items or {}).items() if not contains_secret(name, item)}
        secret += [f"{key}.{name}" for name in items if name not in open_] if items else [key]
        differ |= {key: open_} if open_ else {}
    return differ, secret


def to_cli_args(settings: Mapping[str, Any]) -> list[str]:
    """Give settings as words of the command: --images DIR, --set KEY=VALUE."""
    words = []
    for key, value in settings.items():
        if key in _OPTIONS and value is not None:
            words += [_OPTIONS[key], str(value)]
        else:
            words += ["--set", f"{key}={_as_text(value)}"]
    return words


def build_wheel(folder: Path) -> Path:
    """Write the wheel of the code that is running: built anew in a checkout, else of the files that were installed.

    Raises PlatformError where it cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(pipelines.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        return _repack_installed(folder)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.resolve())]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    built = sorted(folder.glob("irbis-*.whl"))
    if done.returncode or not built:
        reason = (done.stderr.strip() or "no wheel came out").splitlines()[-1]
        raise PlatformError(f"The wheel of this checkout was not built ({reason}). `make build` says more.")
    return built[-1]


def _repack_installed(folder: Path) -> Path:
    """A wheel is a zip of what its RECORD lists."""
    found = importlib.metadata.distribution("irbis")
    wheel = folder / f"irbis-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        for file in found.files or ():
            path = Path(str(file.locate()))
            if path.is_file() and not file.parts[0].startswith("..") and "__pycache__" not in file.parts:
                # One date for all, so that the same files are the same wheel.
                target.writestr(zipfile.ZipInfo(file.as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return wheel


def _base_settings() -> dict[str, Any]:
    return {key: origin.value for key, origin in load_sourced_values().items() if origin.source == "conf/base.yaml"}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
