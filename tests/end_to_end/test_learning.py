"""Other classifiers, a sweep and a comparison of splits, as they are typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from importlib.util import find_spec

import numpy as np
import pytest

from pipelines.evaluation.burst_vote import MEAN, aggregate_burst
from pipelines.runs.package import to_cli_args

from ..stages.conftest import jpeg
from .conftest import CHEAP, closing_lines


@pytest.fixture
def survey(tmp_path):
    """Return the arguments for a folder of 40 encounters of two frames, half of them striped, and cheap settings."""
    start = datetime(2024, 6, 1)
    for encounter in range(40):
        label = ("plain", "striped")[encounter % 2]
        for frame in range(2):
            path = tmp_path / "images" / label / f"{encounter:02}_{frame}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            at = start + timedelta(hours=2 * encounter, seconds=frame)
            path.write_bytes(jpeg(90 + 2 * encounter, 10 * encounter + frame, at, label))
    cheap = {**CHEAP, "train.num_trees": 20, "train.min_samples_leaf": 2, "report.gallery_size": 2}
    return ["--images", tmp_path / "images", *to_cli_args(cheap)]


def test_a_sweep_and_a_comparison_of_splits_print_their_tables(irbis_here, survey, tmp_path):
    irbis_here("ingest", *survey)
    (tmp_path / "plan.yaml").write_text("method: grid\nspace: {train.reg_params: [0.01, 1.0]}\n")
    initialised = closing_lines(irbis_here("sweep", "plan.yaml", "--init", *survey).stdout)
    assert initialised["featurize"].startswith(
        "featurize: 80 read, 80 written"
    )  # what it needs of features it computes
    assert initialised["sweep"].endswith("plan: 0 of 2 trials are done")
    shard = irbis_here("sweep", "plan.yaml", "--shard", "2/2", *survey)
    assert closing_lines(shard.stdout)["sweep"].endswith("plan: shard 2 of 2, 1 of 2 trials")
    assert "give either" in irbis_here("sweep", "plan.yaml", "--init", "--shard", "1/2", *survey, code=2).stderr
    done = irbis_here("sweep", "plan.yaml", *survey)
    lines = closing_lines(done.stdout)
    assert ", 1 written, 0 failed" in lines["sweep"]
    best = re.search(r"plan: balanced_accuracy \S+ with: irbis train (--set train\.reg_params=\S+)", lines["sweep"])
    assert done.stderr.count("train.reg_params") == 1 and len(re.findall(r"^\d ", done.stderr, re.MULTILINE)) == 2
    trained = irbis_here("train", *survey, *best[1].split())
    assert "irbis/1 is champion" in trained.stdout
    table = irbis_here("train", "--compare-splits", *survey).stdout
    assert table.splitlines()[0] == "80 images in 40 groups; 95% intervals over groups"
    bad = irbis_here("sweep", str(tmp_path / "plan.yaml"), *survey, "--set", "train.cv_folds=0", code=2)
    assert "a sweep needs cross-validation" in bad.stderr


needs_synapseml = pytest.mark.skipif(find_spec("synapse") is None, reason="SynapseML is for Spark 3.4 and later")


@pytest.mark.slow
@needs_synapseml
def test_lightgbm_trains_and_scores_and_a_session_without_it_says_what_it_lacks(irbis, irbis_here, survey, tmp_path):
    lines = closing_lines(irbis("run", *survey, "--set", "train.classifier=lightgbm").stdout)
    assert "irbis/1 is champion" in lines["train"] and lines["score"].startswith("score: 80 read, 80 written")
    assert float(re.search(r"balanced accuracy (\S+)", lines["train"])[1]) > 0.8
    other = tmp_path / "images" / "plain" / "new.jpg"
    other.write_bytes(jpeg(150, 7, datetime(2025, 1, 1), "plain"))
    irbis_here("ingest", *survey), irbis_here("featurize", *survey)
    refused = irbis_here("score", "--workspace", "irbis-workspace", code=2)
    assert "com.microsoft.azure:synapseml" in refused.stderr


ENSEMBLE = """
import json, sys
from pipelines.config.loader import load_settings
from pipelines.spark.session import get_session
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

spark = get_session(load_settings(None, {"workspace": sys.argv[1], "train.classifier": "lightgbm"}))
from synapse.ml.stages import EnsembleByKey  # its class looks for the jars of the session

rows = spark.createDataFrame(json.loads(sys.argv[2]), "burst_id string, probability array<double>")
rows = rows.select("burst_id", array_to_vector("probability").alias("probability"))
means = EnsembleByKey(keys=["burst_id"], cols=["probability"], collapseGroup=True).transform(rows)
means = means.select("burst_id", vector_to_array("mean(probability)").alias("mean")).collect()
print(json.dumps({row["burst_id"]: row["mean"] for row in means}))
"""


@needs_synapseml
def test_the_mean_of_a_burst_is_that_of_synapsemls_ensemble_by_key(tmp_path):
    random = np.random.default_rng(5)
    bursts = [f"S1/{number}" for number in random.integers(0, 40, 200)]
    frames = random.dirichlet((0.4, 1.0, 2.0), 200)
    given = json.dumps([[burst, list(frame)] for burst, frame in zip(bursts, frames, strict=True)])
    command = [sys.executable, "-c", ENSEMBLE, str(tmp_path / "workspace"), given]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    means = json.loads(done.stdout.splitlines()[-1])
    assert sorted(means) == sorted(set(bursts)) and len(means) == 40
    np.testing.assert_allclose(aggregate_burst(frames, bursts, MEAN), [means[burst] for burst in bursts], atol=1e-12)
