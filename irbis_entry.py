"""The command `irbis`, outside the package: it runs even where PYTHONPATH names another package `pipelines`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command; exit with 2 and a sentence if PYTHONPATH hides modules that it needs."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    try:
        from pipelines.platform.shadowing import python_path_faults
    finally:
        sys.path.remove(here)
    is_managed = "DATABRICKS_RUNTIME_VERSION" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ
    if not is_managed and (faults := python_path_faults(os.environ.get("PYTHONPATH", ""))):
        if sys.stderr is not None:
            sys.stderr.write("".join(f"irbis: {fault}\n" for fault in faults))
        raise SystemExit(2)
    from pipelines.cli import main as run

    run()
