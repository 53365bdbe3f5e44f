"""Settings for a demo run on the sample set, which is rendered if it is missing, and what to do after it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from pipelines.config.loader import SourcedValue
from pipelines.demo.sample_set import IMAGES, MARKER, render_sample_set
from pipelines.errors import SettingsError
from pipelines.reports.staleness import REPORT_PATH

ORIGIN = "irbis demo"


def with_sample_set(origins: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
    """Return the settings with the sample set as source, in its own workspace; the user's settings are kept."""
    images = origins["sources.images"].value
    name = Path(images).expanduser().absolute().name if images else "sample"
    workspace = f"{origins['workspace'].value}-{name}"
    overrides = {"workspace": workspace} | (
        {} if images else _render_sample_set(_value_or(origins, "workspace", workspace))
    )
    return {
        key: SourcedValue(overrides[key], ORIGIN) if key in overrides and _is_default(origin) else origin
        for key, origin in origins.items()
    }


def _render_sample_set(workspace: str) -> dict[str, str]:
    if "://" in workspace:
        raise SettingsError(
            f"workspace = {workspace}: `irbis demo` draws its images into a folder. Choose a folder, or pass --images."
        )
    folder = Path(workspace).expanduser().absolute() / "sample"
    if not (folder / MARKER).exists():
        print(f"demo: drawing {IMAGES} camera-trap images into {folder}", file=sys.stderr, flush=True)
    with tqdm(total=IMAGES, desc="demo: drawing", unit=" images", leave=False, disable=not sys.stderr.isatty()) as bar:
        sample = render_sample_set(
            folder, workers=min(4, os.cpu_count() or 1), progress=lambda done: bar.update(done - bar.n)
        )
    return {
        "sources.images": str(sample.images_folder),
        "sources.labels": str(sample.labels_csv),
        "sources.station": "folder:1",
    }


def next_steps(origins: Mapping[str, SourcedValue]) -> list[str]:
    """Return lines for a newcomer at the end of a demo: the report, and how to run irbis on images of one's own."""
    workspace = str(origins["workspace"].value)
    is_sample = origins["sources.images"].source == ORIGIN
    is_on_path = shutil.which("irbis") is not None or Path(sys.argv[0]).name != "irbis"
    irbis = "irbis" if is_on_path else sys.argv[0]  # such as .venv/bin/irbis
    own = f"your images, one folder per label: {irbis} run --images DIR"
    new = f"new images, which need no labels: {irbis} score --workspace {shlex.quote(workspace)} --images DIR"
    return [
        f"Next: look at the report: {workspace}/{REPORT_PATH}",
        f"      {own if is_sample else new}",
        "      step by step: docs/quickstart.md",
    ]


def _value_or(origins: Mapping[str, SourcedValue], key: str, default: str) -> str:
    return default if _is_default(origins[key]) else str(origins[key].value)


def _is_default(origin: SourcedValue) -> bool:
    return origin.source == "conf/base.yaml"
