"""Build hook: add the git commit and the notebooks to the wheel."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Contents(BuildHookInterface):
    """Add pipelines/build.json, from which runs read their commit outside a checkout, and the notebooks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # is a checkout, and asks git
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        from pipelines.tracking.code_version import BUILD_FILE, code_version

        build = code_version()
        build.pop("version")  # the package itself has it
        self._folder = tempfile.TemporaryDirectory()  # kept until the wheel is built
        file = Path(self._folder.name, BUILD_FILE)
        file.write_text(json.dumps(build), encoding="utf-8")
        build_data["force_include"][str(file)] = f"pipelines/{BUILD_FILE}"
        if (root / "notebooks").is_dir():
            build_data["force_include"]["notebooks"] = "pipelines/_data/notebooks"
