"""Package a run for another machine: its settings as command-line arguments, and a wheel of this code."""

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

LOCAL_ONLY_PREFIXES = ("spark.", "runs.", "databricks.", "hdinsight.")  # settings of this machine, which are not sent
# Passed as options rather than by --set, because `irbis score` treats images given by option as a new set.
_OPTIONS = {"sources.images": "--images", "sources.dataset": "--dataset", "sources.labels": "--labels"}


def non_default_settings(origins: Mapping[str, SourcedValue]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that differ from conf/base.yaml, and the names of those left out because they hold secrets.

    A reference to a secret, {{secrets/SCOPE/KEY}}, is not secret. Of a mapping only the secret items are left out.
    """
    defaults, secrets = _base_settings(), list[str]()
    changed = {key: origin.value for key, origin in origins.items() if origin.value != defaults.get(key)}
    for key in [key for key, value in changed.items() if contains_secret(key, value)]:
        value = changed.pop(key)
        items = parse_mapping(value) if key in MAPPINGS else None
        public = {name: item for name, item in (items or {}).items() if not contains_secret(name, item)}
        secrets += [f"{key}.{name}" for name in items if name not in public] if items else [key]
        changed |= {key: public} if public else {}
    return changed, secrets


def to_cli_args(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as command-line arguments: --images DIR, --set KEY=VALUE."""
    words = []
    for key, value in settings.items():
        if key in _OPTIONS and value is not None:
            words += [_OPTIONS[key], str(value)]
        else:
            words += ["--set", f"{key}={_as_text(value)}"]
    return words


def build_wheel(folder: Path) -> Path:
    """Write a wheel of the running code: built from the checkout, else repacked from the installed files.

    Raises PlatformError if it cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(pipelines.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        return _repack_installed(folder)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.resolve())]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    built = sorted(folder.glob("irbis-*.whl"))
    if done.returncode or not built:
        reason = (done.stderr.strip() or "no wheel was written").splitlines()[-1]
        raise PlatformError(f"Building the wheel of this checkout failed ({reason}). Run `make build` for details.")
    return built[-1]


def _repack_installed(folder: Path) -> Path:
    """Write a wheel from the installed files; a wheel is a zip of the files in its RECORD."""
    distribution = importlib.metadata.distribution("irbis")
    wheel = folder / f"irbis-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            if path.is_file() and not file.parts[0].startswith("..") and "__pycache__" not in file.parts:
                # ZipInfo's fixed date, so that the same files give the same wheel.
                target.writestr(zipfile.ZipInfo(file.as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return wheel


def _base_settings() -> dict[str, Any]:
    return {key: origin.value for key, origin in load_sourced_values().items() if origin.source == "conf/base.yaml"}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
