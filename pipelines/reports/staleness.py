"""Fingerprint of a report: a comment at the end of the page that lists its inputs. If it differs, render again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines import __version__
from pipelines.config.settings import Settings
from pipelines.workspace.tables import Tables

REPORT_PATH = "reports/report.html"  # below the workspace


def report_fingerprint(tables: Tables, settings: Settings, model_run: str | None) -> str:
    """Return the fingerprint of a report rendered now. `model_run`: run that trained the model, if there is one."""
    inputs = {
        "irbis": __version__,
        "model": model_run,
        "settings": settings.report.model_dump(),
        "train": settings.train.model_dump(),
        "tables": {name: tables.version(name) for name in ("images", "features", "predictions", "labels", "boxes")},
    }
    return to_comment(inputs)


def to_comment(inputs: Mapping[str, Any]) -> str:
    """Return inputs as an HTML comment that no text in them can end early."""
    text = json.dumps(inputs, sort_keys=True).replace(">", "\\u003e")
    return f"\n<!-- made of {text} -->\n"


def is_up_to_date(page: str | None, fingerprint: str) -> bool:
    """Return whether the page exists and ends with the fingerprint."""
    return page is not None and page.endswith(fingerprint)
