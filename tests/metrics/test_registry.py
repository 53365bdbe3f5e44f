"""A metric is one file: nothing else has to know of it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines import metrics
from pipelines.config.loader import load_settings
from pipelines.errors import SettingsError
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.paired_bootstrap import paired_bootstrap
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.results import Evaluation, text_table
from pipelines.metrics.registry import all_metrics, validate_sweep_metric
from pipelines.reports.render import render

from ..reports.conftest import _contents as contents

TOY = """
from pipelines.metrics.base import Metric

METRIC = Metric("error_rate", "Error rate", "wrong predictions of all",
                lambda counts: 1 - counts.correct.sum(axis=0) / counts.images, higher_is_better=False)
"""
LABELS, CLASSES = ["deer", "deer", "ocelot", "ocelot"], ("deer", "ocelot")
CANDIDATE = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
CHAMPION = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_error_rate.py").write_text(TOY)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])


def test_a_new_metric_is_one_new_file(toy):
    found = evaluate(LABELS, CANDIDATE, CLASSES, list("abcd"), bootstrap=200)
    assert found.metrics["error_rate"].value == 0.25
    assert 0 <= found.metrics["error_rate"].low < 0.25 < found.metrics["error_rate"].high
    assert "error rate              0.250 (" in text_table(found)
    page = render(contents(evaluation=found))
    assert "Error rate" in page and "wrong predictions of all" in page

    sets = [
        PredictionSet(LABELS, values, CLASSES, list("abcd"), list("abcd"))
        for values in map(np.array, (CANDIDATE, CHAMPION))
    ]
    compared = paired_bootstrap(*sets, "error_rate", bootstrap=50)
    assert (compared.candidate, compared.champion) == (0.25, 0.75)
    assert load_settings(None, {"train.gate_metric": "error_rate"}).train.gate_metric == "error_rate"
    assert validate_sweep_metric("error_rate") == "error_rate"


def test_an_evaluation_from_before_a_metric_is_shown_without_it(toy):
    values = evaluate(LABELS, CANDIDATE, CLASSES, list("abcd"), bootstrap=0).to_dict()
    del values["metrics"]["error_rate"]
    before = Evaluation.from_dict(values)
    assert "error rate" not in text_table(before)
    assert "Error rate" not in render(contents(evaluation=before))
    now = evaluate(LABELS, CANDIDATE, CLASSES, list("abcd"), bootstrap=0)
    row = render(contents(evaluation=now, validation=before)).partition("Error rate")[2].partition("</tr>")[0]
    assert "25" in row and row.rstrip().endswith('<td class="number">–</td>')


def test_the_names_are_those_of_the_files():
    assert list(all_metrics()) == [
        "accuracy",
        "balanced_accuracy",
        "calibration_error",
        "log_loss",
        "macro_f1",
        "mean_average_precision",
    ]


def test_only_metrics_of_predicted_classes_decide_over_the_champion():
    with pytest.raises(SettingsError) as error:
        load_settings(None, {"train.gate_metric": "log_loss"})
    assert "expected accuracy, balanced_accuracy or macro_f1, not 'log_loss'" in str(error.value)
