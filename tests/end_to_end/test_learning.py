"""Other learners, a sweep and a comparison of splits, as they are typed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from importlib.util import find_spec

import pytest

from ..stages.conftest import jpeg
from .conftest import closing_lines


@pytest.fixture
def survey(tmp_path):
    """Give the words that name a folder of 40 encounters of two frames, half of them striped, and cheap settings."""
    start = datetime(2024, 6, 1)
    for encounter in range(40):
        label = ("plain", "striped")[encounter % 2]
        for frame in range(2):
            path = tmp_path / "pictures" / label / f"{encounter:02}_{frame}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            at = start + timedelta(hours=2 * encounter, seconds=frame)
            path.write_bytes(jpeg(90 + 2 * encounter, 10 * encounter + frame, at, label))
    cheap = {"train.folds": 2, "train.bootstrap": 100, "train.trees": 20, "train.min_leaf": 2, "report.pictures": 2}
    return ["--images", tmp_path / "pictures", *(f"--set={key}={value}" for key, value in cheap.items())]


def test_a_sweep_and_a_comparison_of_splits_print_their_tables(irbis_here, survey, tmp_path):
    irbis_here("ingest", *survey)
    (tmp_path / "plan.yaml").write_text("method: grid\nspace: {train.reg_params: [0.01, 1.0]}\n")
    begun = closing_lines(irbis_here("sweep", "plan.yaml", "--begin", *survey).stdout)
    assert begun["featurize"].startswith("featurize: 80 read, 80 written")  # what it needs of features it computes
    assert begun["sweep"].endswith("plan: 0 of 2 trials are done")
    share = irbis_here("sweep", "plan.yaml", "--share", "2/2", *survey)
    assert closing_lines(share.stdout)["sweep"].endswith("plan: share 2 of 2, 1 of 2 trials")
    assert "give one of them" in irbis_here("sweep", "plan.yaml", "--begin", "--share", "1/2", *survey, code=2).stderr
    done = irbis_here("sweep", "plan.yaml", *survey)
    lines = closing_lines(done.stdout)
    assert ", 1 written, 0 failed" in lines["sweep"]
    best = re.search(r"plan: balanced_accuracy \S+ with: irbis train (--set train\.reg_params=\S+)", lines["sweep"])
    assert done.stderr.count("train.reg_params") == 1 and len(re.findall(r"^\d ", done.stderr, re.MULTILINE)) == 2
    trained = irbis_here("train", *survey, *best[1].split())
    assert "irbis/1 is champion" in trained.stdout
    table = irbis_here("train", "--compare-splits", *survey).stdout
    assert table.splitlines()[0] == "80 pictures in 40 groups; 95% intervals over groups"
    bad = irbis_here("sweep", str(tmp_path / "plan.yaml"), *survey, "--set", "train.folds=0", code=2)
    assert "a sweep needs cross-validation" in bad.stderr


@pytest.mark.skipif(find_spec("synapse") is None, reason="needs SynapseML, which is for Spark 3.4 and later")
def test_lightgbm_trains_and_scores_and_a_session_without_it_says_what_it_lacks(irbis, irbis_here, survey, tmp_path):
    lines = closing_lines(irbis("run", *survey, "--set", "train.learner=lightgbm").stdout)
    assert "irbis/1 is champion" in lines["train"] and lines["score"].startswith("score: 80 read, 80 written")
    assert float(re.search(r"balanced accuracy (\S+)", lines["train"])[1]) > 0.8
    other = tmp_path / "pictures" / "plain" / "new.jpg"
    other.write_bytes(jpeg(150, 7, datetime(2025, 1, 1), "plain"))
    irbis_here("ingest", *survey), irbis_here("featurize", *survey)
    refused = irbis_here("score", "--workspace", "irbis-workspace", code=2)
    assert "LightGBM is part of SynapseML, whose jars this Spark session lacks" in refused.stderr
