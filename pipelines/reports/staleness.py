"""The mark on a page: a comment at its end that names what it was made of. Another one: it must be made anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines import __version__
from pipelines.config.settings import Settings
from pipelines.workspace.tables import Tables

REPORT_PATH = "reports/report.html"  # below the workspace


def report_fingerprint(tables: Tables, settings: Settings, model_run: str | None) -> str:
    """Give the mark of a page made now of the model that this run trained, if there is one."""
    inputs = {
        "irbis": __version__,
        "model": model_run,
        "settings": settings.report.model_dump(),
        "train": settings.train.model_dump(),
        "tables": {name: tables.version(name) for name in ("images", "features", "predictions")},
    }
    return comment_of(inputs)


def comment_of(inputs: Mapping[str, Any]) -> str:
    """Return inputs as a comment, which none of their texts ends early."""
    text = json.dumps(inputs, sort_keys=True).replace(">", "\\u003e")
    return f"\n<!-- made of {text} -->\n"


def is_up_to_date(page: str | None, mark: str) -> bool:
    """Say whether there is a page and it bears the mark."""
    return page is not None and page.endswith(mark)
