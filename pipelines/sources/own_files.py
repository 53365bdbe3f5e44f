"""Recognise files that irbis itself wrote, in a source that contains a workspace."""

from __future__ import annotations

import os

from pipelines.azure_uri import is_azure_uri, parse_blob_uri
from pipelines.sources.stores.folder import local_folder

FOLDERS_WITH_IMAGES = {"artifacts", "sample"}  # plots of runs, and the sample set
FOLDERS = {"checkpoints", "logs", "notebooks", "reports", "runs", "scratch", "sent", "tables"} | FOLDERS_WITH_IMAGES
TABLE = os.path.join("tables", "images", "_delta_log")  # identifies a folder as a workspace


class OwnFiles:
    """A filter for files of the workspace, and of other local workspaces, below the root of a source.

    The root itself may be in a workspace, as that of the sample set is. Images that people put into a workspace next
    to the folders of irbis belong to the source.
    """

    def __init__(self, workspace: str, root: str):
        self._local_root = root[len("file://") :] if root.startswith("file://") else None
        self._workspace = self._path_below(workspace, root)
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

    def _path_below(self, workspace: str, root: str) -> str | None:
        """Return the workspace's path below the root: empty, or ending with a slash; None if it is elsewhere."""
        if is_azure_uri(workspace):
            location, _ = parse_blob_uri(workspace)
            address = (location.root + location.prefix).rstrip("/") + "/"
            return address[len(root) :] if address.startswith(root) else None
        folder = local_folder(workspace)
        if self._local_root is None or folder is None:
            return None
        below = os.path.relpath(os.path.realpath(folder), os.path.realpath(self._local_root)).replace(os.sep, "/")
        if below == ".":
            return ""
        return None if below == ".." or below.startswith("../") else f"{below}/"
