"""What goes into the wheel beside what pyproject.toml names: the git commit, and the notebooks."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Contents(BuildHookInterface):
    """Add pipelines/build.json, from which a run tells its commit where there is no .git."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # is a checkout, and asks git
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        from pipelines.tracking.code_version import BUILD_FILE, code_version

        said = code_version()
        said.pop("version")  # which stands in the package itself
        self._own = tempfile.TemporaryDirectory()  # goes when the wheel is made
        note = Path(self._own.name, BUILD_FILE)
        note.write_text(json.dumps(said), encoding="utf-8")
        build_data["force_include"][str(note)] = f"pipelines/{BUILD_FILE}"
        if (root / "notebooks").is_dir():
            build_data["force_include"]["notebooks"] = "pipelines/_data/notebooks"
