"""The command `irbis` itself: what it costs before it does anything."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"azure", "delta", "databricks", "mlflow", "numpy", "pandas", "PIL", "pyarrow", "pyspark", "sklearn", "torch"}


def test_the_command_knows_what_is_asked_before_it_loads_what_does_it():
    code = "import sys, pipelines.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    assert not HEAVY & loaded
