"""Recognise files that irbis itself wrote, in a source that contains a workspace."""

from __future__ import annotations

import os

from pipelines.sources.registry import find_store

FOLDERS_WITH_IMAGES = {"artifacts", "review", "sample"}  # plots of runs, thumbnails, and the sample set
FOLDERS = {"checkpoints", "logs", "notebooks", "reports", "runs", "scratch", "sent", "tables"} | FOLDERS_WITH_IMAGES
TABLE = os.path.join("tables", "images", "_delta_log")  # identifies a folder as a workspace


class OwnFiles:
    """A filter for files of the workspace, and of other local workspaces, below the root of a source.

    The root itself may be in a workspace, as that of the sample set is. Images that people put into a workspace next
    to the folders of irbis belong to the source.
    """

    def __init__(self, workspace: str, root: str):
        self._local_root = root[len("file://") :] if root.startswith("file://") else None
        store = find_store(workspace)
        self._workspace = store.path_below(workspace, root) if store else None
        self._found: dict[str, str | None] = {}

    def is_own(self, path: str, is_image: bool) -> bool:
        """Return whether irbis wrote a file; `path` is relative to the source."""
        folder = path.rpartition("/")[0]
        if folder not in self._found:
            self._found[folder] = self._workspace_of(folder)
        workspace = self._found[folder]
        if workspace is None:
            return False
        first, slash, _ = path[len(workspace) :].partition("/")
        return first in FOLDERS_WITH_IMAGES if is_image else not slash or first in FOLDERS

    def _workspace_of(self, folder: str) -> str | None:
        """Return the workspace that contains a folder, as a path prefix; None if there is none."""
        parts = folder.split("/") if folder else []
        for depth in range(len(parts) + 1):
            beginning = "".join(f"{part}/" for part in parts[:depth])
            if beginning == self._workspace or self._has_tables(beginning):
                return beginning
        return None

    def _has_tables(self, beginning: str) -> bool:
        return self._local_root is not None and os.path.isdir(os.path.join(self._local_root, beginning, TABLE))
