"""The head of a served model: its arithmetic, and its file, which holds no pickle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.errors import ModelError, PlatformError
from pipelines.serving import head as head_module
from pipelines.serving.forest import LEAF, Forest
from pipelines.serving.head import Boosting, Head, Linear, Projection

TWO = Linear(np.array([[0.0, 0.0], [1.0, -1.0]]), np.array([0.0, 0.5]))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def forest() -> Forest:
    """Return two trees: feature 0 at most 1 -> [1, 0], else feature 1 at most 2 -> [.5, .5] or [0, 1]; and a leaf."""
    return Forest(
        feature=np.array([0, LEAF, 1, LEAF, LEAF, LEAF], np.int32),
        threshold=np.array([1.0, 0, 2.0, 0, 0, 0]),
        left=np.array([1, 0, 3, 1, 2, 3], np.int32),
        right=np.array([2, 0, 4, 0, 0, 0], np.int32),
        distributions=np.array([[1, 0], [0.5, 0.5], [0, 1], [0.2, 0.8]]),
        roots=np.array([0, 5], np.int32),
    )


def test_a_binary_regression_is_the_sigmoid_of_its_logit():
    found = Head(TWO).predict([[2.0, 1.0], [0.0, 3.0]])
    np.testing.assert_allclose(found[:, 1], [sigmoid(1.5), sigmoid(-2.5)], rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_temperature_divides_the_logits():
    found = Head(TWO, temperature=2.0).predict([[2.0, 1.0]])
    assert found[0, 1] == pytest.approx(sigmoid(0.75))


def test_flipped_images_are_averaged_after_calibration():
    found = Head(TWO, temperature=2.0).predict([[2.0, 1.0]], [[0.0, 3.0]])
    assert found[0, 1] == pytest.approx((sigmoid(0.75) + sigmoid(-1.25)) / 2)


def test_features_are_scaled_and_projected_before_the_regression():
    projection = Projection(np.array([1.0, 1, 5]), np.array([2.0, 1, 0]), np.array([[1.0, 0], [0, 1], [9, 9]]))
    found = Head(TWO, projection).predict([[2.0, 3.0, 100.0]])
    assert found[0, 1] == pytest.approx(sigmoid(2 - 2 + 0.5))


def test_a_forest_averages_the_leaves_of_its_trees():
    found = Head(forest()).predict([[1.0, 9.0], [1.1, 2.0], [1.1, 2.1]])
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.35, 0.65], [0.1, 0.9]])


def test_no_image_is_no_row():
    assert Head(TWO).predict(np.zeros((0, 2))).shape == (0, 2)
    assert Head(forest()).predict(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("classifier", [TWO, forest()], ids=["linear", "forest"])
def test_the_file_predicts_the_same_to_the_last_bit(classifier, tmp_path):
    projection = Projection(np.ones(3), np.array([0.5, 2, 1]), np.array([[1.0, 0.5], [0.25, 1], [1, 1]]))
    head = Head(classifier, projection, 1.25)
    head.save(tmp_path / "head.npz")
    features = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    loaded = Head.load(tmp_path / "head.npz")
    assert loaded.classes == 2
    np.testing.assert_array_equal(loaded.predict(features, -features), head.predict(features, -features))


def test_a_pickle_in_the_file_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(tmp_path / "head.npz", temperature=np.array(Trap(), object), linear_intercepts=np.zeros(2))
    with pytest.raises(ModelError, match=r"head\.npz is not the head of a served model: ValueError: Object arrays"):
        Head.load(tmp_path / "head.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"text"])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "head.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"head\.npz is not the head"):
        Head.load(tmp_path / "head.npz")


@pytest.mark.parametrize(
    ("name", "index", "value"), [("left", 0, 0), ("right", 2, 6), ("left", 5, 4), ("roots", 0, -1), ("left", 2, 2)]
)
def test_nodes_that_form_no_tree_are_refused_instead_of_followed_for_ever(name, index, value, tmp_path):
    broken = forest()
    getattr(broken, name)[index] = value
    Head(broken).save(tmp_path / "head.npz")
    with pytest.raises(ModelError, match="do not form trees"):
        Head.load(tmp_path / "head.npz")


@pytest.mark.parametrize("classes", [2, 3])
def test_lightgbm_predicts_from_its_own_text(classes, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(2)
    labels = np.arange(120) % classes
    features = random.normal(size=(120, 4)) + labels[:, None]
    objective = {"objective": "multiclass", "num_class": classes} if classes > 2 else {"objective": "binary"}
    booster = lightgbm.train({**objective, "verbosity": -1}, lightgbm.Dataset(features, labels), 5)
    Head(Boosting(booster.model_to_string())).save(tmp_path / "head.npz")
    head = Head.load(tmp_path / "head.npz")
    found = head.predict(features)
    expected = booster.predict(features)
    assert head.classes == classes == found.shape[1]
    np.testing.assert_allclose(found if classes > 2 else found[:, 1], expected, atol=1e-12)


def test_without_lightgbm_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(head_module, "find_spec", lambda name: None)
    with pytest.raises(PlatformError, match=r"not installed\. pip install lightgbm"):
        Head(Boosting("tree")).predict([[1.0]])
