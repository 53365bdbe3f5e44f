"""The command `irbis`, outside the package: it runs even where PYTHONPATH names another package `pipelines`."""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OWN_MODULE = os.path.join("pipelines", "spark", "shadowing.py")


def main() -> None:
    """Run the command; exit with 2 and a sentence if PYTHONPATH hides modules that it needs."""
    # The folder with this package goes first; in an editable installation it is not the folder of this file.
    home = next(folder for folder in (HERE, *sys.path) if os.path.isfile(os.path.join(folder, OWN_MODULE)))
    sys.path.insert(0, home)
    try:
        from pipelines.spark.shadowing import python_path_faults
    finally:
        sys.path.remove(home)
    is_managed = "DATABRICKS_RUNTIME_VERSION" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ
    if not is_managed and (faults := python_path_faults(os.environ.get("PYTHONPATH", ""))):
        if sys.stderr is not None:
            sys.stderr.write("".join(f"irbis: {fault}\n" for fault in faults))
        raise SystemExit(2)
    from pipelines.cli.app import main as run

    run()
