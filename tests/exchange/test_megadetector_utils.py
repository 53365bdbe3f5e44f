"""Exports pass the validators of megadetector-utils, in an environment of their own (`make test-exchange`)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipelines.exchange.formats import coco, megadetector

from .export_rows import by_model, export_row, make_export
from .test_write_json import rows

PYTHON = Path(__file__).resolve().parents[2] / ".venv-exchange" / "bin" / "python"
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs megadetector-utils: `make test-exchange`"),
]
CHECK_RESULTS = """
from megadetector.postprocessing.validate_batch_results import validate_batch_results as check
found = check(sys.argv[1])["validation_results"]
found = {"errors": found["errors"], "warnings": found["warnings"]}
"""
CHECK_COCO = """
from megadetector.data_management.integrity_check_json_db import IntegrityCheckOptions, integrity_check_json_db as check
options = IntegrityCheckOptions()
options.requireInfo, options.verbose, options.validateBoxes = True, False, "error"
found = {"errors": check(sys.argv[1], options)[2]["validation_errors"]}
"""


def validate(check: str, file: Path) -> dict[str, list[str]]:
    code = f"import json, sys\n{check}\nprint(json.dumps(found))"
    done = subprocess.run([PYTHON, "-c", code, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_exports_have_no_errors_and_no_warnings(spark, make_settings, tmp_path):
    many = [
        export_row(
            f"S {number % 7}/é {number}.JPG", width=4, height=3, **by_model(label, 0.5, probabilities={label: 0.5})
        )
        for number, label in enumerate(["fox", "animal", "empty", "Person", "0", "unknown", "-"] * 3)
    ]
    export = make_export(spark, tmp_path / "out", make_settings(), [*rows(), *many])
    results = megadetector.FORMAT.export(export).files[0]  # type: ignore[misc]
    images = coco.FORMAT.export(export).files[0]  # type: ignore[misc]
    assert validate(CHECK_RESULTS, results) == {"errors": [], "warnings": []}
    assert validate(CHECK_COCO, images) == {"errors": []}

    results.write_text(results.read_text("utf-8").replace('"conf":1.0', '"conf":1', 1), "utf-8")
    assert validate(CHECK_RESULTS, results)["errors"] == [
        f"Image {rows()[2]['relative_path']} has an illegal confidence value"
    ]
