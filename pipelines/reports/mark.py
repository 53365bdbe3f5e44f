"""The mark on a page: a comment at its end that names what it was made of. Another one: it must be made anew."""

from __future__ import annotations

import json

from pipelines import __version__
from pipelines.settings import Settings
from pipelines.storage.tables import Tables

PAGE = "reports/report.html"  # below the workspace


def mark_of(tables: Tables, settings: Settings, model_run: str | None) -> str:
    """Give the mark of a page made now of the model that this run trained, if there is one."""
    inputs = {
        "irbis": __version__,
        "model": model_run,
        "settings": settings.report.model_dump(),
        "train": settings.train.model_dump(),
        "tables": {name: tables.version(name) for name in ("images", "features", "predictions")},
    }
    text = json.dumps(inputs, sort_keys=True).replace("--", "- -")  # a comment must not end early
    return f"\n<!-- made of {text} -->\n"


def bears(page: str | None, mark: str) -> bool:
    """Say whether there is a page and it bears the mark."""
    return page is not None and page.endswith(mark)
