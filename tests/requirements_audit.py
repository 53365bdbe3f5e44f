"""requirements/audit.py as a module: it is a script outside any package."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "requirements"
LOCKS = sorted(FOLDER.glob("*.txt"))

_spec = spec_from_file_location("audit", FOLDER / "audit.py")
assert _spec and _spec.loader
audit = module_from_spec(_spec)
sys.modules["audit"] = audit  # where dataclasses look for their module
_spec.loader.exec_module(audit)
