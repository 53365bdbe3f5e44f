"""Ranking of suspected label errors: known orders, and injected errors among the first."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from pipelines.errors import PlatformError
from pipelines.evaluation.label_errors import Suspect, first_suspects, rank_labels, ranking_to_csv
from pipelines.evaluation.predictions import PredictionSet

CLASSES = ("ape", "bat", "cat")


def make_predictions(labels, rows, hashes, classes=CLASSES):
    names = [f"g{i}" for i in range(len(labels))]
    return PredictionSet(labels, np.array(rows), classes, names, names, content_hashes=hashes)


def test_the_lowest_probability_of_the_given_label_comes_first():
    rows = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.05, 0.9, 0.05]]
    ranking = rank_labels([make_predictions(["ape", "bat", "cat"], rows, ["x", "y", "z"])])
    assert ranking == [
        Suspect("z", "cat", "bat", 0.05, "self_confidence"),
        Suspect("y", "bat", "cat", 0.3, "self_confidence"),
        Suspect("x", "ape", "ape", 0.7, "self_confidence"),
    ]
    assert (
        ranking_to_csv(ranking[:1])
        == "content_hash,label,suggested,self_confidence,reason\nz,cat,bat,0.05,self_confidence\n"
    )


def test_of_two_predictions_of_an_image_the_first_counts():
    one = make_predictions(["ape"], [[0.9, 0.1, 0.0]], ["x"])
    other = make_predictions(["ape", "bat"], [[0.1, 0.9, 0.0], [0.5, 0.4, 0.1]], ["x", "y"])
    assert [(each.content_hash, each.self_confidence) for each in rank_labels([one, other])] == [("y", 0.4), ("x", 0.9)]
    assert rank_labels([]) == []


def test_suspects_are_the_first_six_percent_whose_label_is_not_the_most_probable():
    ranking = [Suspect(f"h{i}", "ape", "ape" if i == 2 else "bat", i / 1000, "self_confidence") for i in range(100)]
    assert [each.content_hash for each in first_suspects(ranking)] == ["h0", "h1", "h3", "h4", "h5"]
    assert len(first_suspects([ranking[0]] * 100_000)) == 5_000


def noisy_predictions(share=0.03, n=2000):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=n)
    rows = np.stack([rng.dirichlet(np.where(np.arange(3) == label, 8.0, 1.0)) for label in truth])
    is_wrong = rng.random(n) < share
    labels = np.where(is_wrong, (truth + 1) % 3, truth)
    hashes = [f"h{i}" for i in range(n)]
    return make_predictions([CLASSES[i] for i in labels], rows, hashes), set(np.array(hashes)[is_wrong])


@pytest.mark.parametrize("method", ["self_confidence", "cleanlab"])
def test_most_injected_errors_are_among_the_suspects(method):
    if method == "cleanlab":
        pytest.importorskip("cleanlab")
    predictions, wrong = noisy_predictions()
    ranking = rank_labels([predictions], method)
    assert len(ranking) == 2000
    found = wrong & {each.content_hash for each in first_suspects(ranking)}
    assert len(found) / len(wrong) > 0.95
    if method == "cleanlab":  # the images that it finds come first, and the reason says so
        reasons = [each.reason for each in ranking]
        issues = reasons.count("cleanlab")
        assert 0 < issues < 200 and reasons == ["cleanlab"] * issues + ["self_confidence"] * (2000 - issues)


def test_cleanlab_accepts_classes_without_a_label():
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(1)
    rows = rng.dirichlet([1, 1, 0.1], 60)
    ranking = rank_labels([make_predictions(["ape", "bat"] * 30, rows, [f"h{i}" for i in range(60)])], "cleanlab")
    assert len(ranking) == 60


@pytest.mark.skipif(find_spec("cleanlab") is not None, reason="cleanlab is installed")
def test_without_cleanlab_the_error_says_how_to_install_it():
    predictions, _ = noisy_predictions(n=50)
    with pytest.raises(PlatformError, match=r"pip install 'irbis\[cleanlab\]'"):
        rank_labels([predictions], "cleanlab")
