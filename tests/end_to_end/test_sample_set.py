"""The whole pipeline on the sample set, twice, as on a new user's machine; the test that every lane passes."""

from __future__ import annotations

import json
import re

from .conftest import closing_lines

NO_WORKER = "spark.conf.spark.python.daemon.module=there.is.no.such.daemon"  # a Python worker would fail to start
STAGES = ["ingest", "featurize", "train", "score", "report"]


def test_the_demo_runs_all_stages_and_a_second_time_does_nothing(irbis, tmp_path):
    demo = irbis("demo")
    assert demo.stderr.startswith("demo: running ingest, featurize, train, score and report on drawn camera-trap ")
    assert demo.stdout.splitlines()[-3].endswith(" irbis-workspace-sample/reports/report.html")
    first = closing_lines(demo.stdout)
    assert list(first) == STAGES
    assert "513 read, 509 written, 4 failed (" in first["ingest"]
    assert "510 read, 505 written, 5 failed (" in first["featurize"]
    assert "irbis/1 is champion: the first version" in first["train"]
    assert "513 read, 508 written, 5 failed (" in first["score"]
    report = tmp_path / "irbis-workspace-sample" / "reports" / "report.html"
    assert first["report"].endswith(f"; {report}")
    page = report.read_text()
    assert "leopard" in page and "data:image/jpeg;base64," in page and "<script" not in page

    second = irbis("demo", "--set", NO_WORKER)
    assert {name: re.sub("(?<= failed, ).*", "", line) for name, line in closing_lines(second.stdout).items()} == {
        name: f"{name}: 0 read, 0 written, 0 failed, " for name in STAGES
    }
    assert report.read_text() == page

    third = irbis("demo", "--set", NO_WORKER, env={"JAVA_HOME": "/there/is/no/java"})  # and without Spark
    idle = closing_lines(third.stdout)
    assert list(idle) == STAGES and idle["train"].startswith("train: 0 read, 0 written, 0 failed, 0.0 s, 0 images/s;")
    assert "Nothing has changed since the last run." in third.stderr

    status = json.loads(irbis("status", "--json", "--workspace", "irbis-workspace-sample").stdout)
    images, features, predictions = (status["tables"][name] for name in ("images", "features", "predictions"))
    assert (images["rows"], images["paths"], images["hashes"]) == (513, 513, 510)
    assert images["failures"] == {"empty": 1, "not_an_image": 1, "too_large": 1, "truncated": 1}
    assert features["rows"] == features["hashes"] == 510
    assert predictions["rows"] == predictions["paths"] == 513
    assert status["missing"] == {"featurize": 0, "train": 0, "score": 0, "report": 0}
    champion = status["champion"]
    assert champion["version"] == "1" and champion["backbone"].startswith("irbis_tiny@")
    assert champion["metrics"]["balanced_accuracy"] > 0.45  # guessing gives .20; 40 test groups leave much to chance
