"""Where the workspace is."""

from __future__ import annotations

from pathlib import Path

from pipelines.config.settings import Settings


def workspace_uri(settings: Settings) -> str:
    """Return the workspace's URI, or its absolute folder, without a trailing slash."""
    workspace = settings.workspace
    return (workspace if "://" in workspace else str(Path(workspace).expanduser().absolute())).rstrip("/")
