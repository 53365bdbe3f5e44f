"""The leak check: near-identical images on both sides are found, alike ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.leakage import Leakage, find_leaks

LABELS = ("fox", "hare", "lynx")


def scenes(count=120, frames=1, spread=1.0, jitter=0.05, seed=0):
    """Return features, labels and paths: `count` scenes at three stations, whose `frames` differ by `jitter`."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    stations, species = random.normal(size=(3, 64)), random.normal(size=(3, 64)) * 2
    at = random.integers(3, size=count)
    base = stations[at] + species[labels] + spread * random.normal(size=(count, 64))
    features = np.repeat(base, frames, axis=0) + jitter * random.normal(size=(count * frames, 64))
    paths = [f"S{at[scene]}/{scene}_{frame}" for scene in range(count) for frame in range(frames)]
    return features, [LABELS[each] for each in np.repeat(labels, frames)], paths


def checked(features, labels, paths, is_test, times=None):
    return find_leaks(features, is_test.astype(np.int64), is_test, labels, paths, times)


def test_frames_of_one_trigger_on_both_sides_are_counted_with_the_first_pair():
    features, labels, paths = scenes(frames=2)
    is_test = np.zeros(240, dtype=bool)
    is_test[0:60:2] = True  # one frame of each of 30 scenes, the other in train
    is_test[60:80] = True  # both frames of ten
    found = checked(features, labels, paths, is_test)
    assert (found.checked, found.found, found.first) == (50, 30, ("S0/11_0", "S0/11_1"))
    assert found.share == 0.6 and found.is_worth_a_warning
    assert found.to_dict() == {"checked": 50, "found": 30, "first": ("S0/11_0", "S0/11_1"), "threshold": 0.95}


def test_a_split_by_groups_has_none():
    features, labels, paths = scenes(frames=3)
    is_test = np.arange(360) < 90
    assert checked(features, labels, paths, is_test) == Leakage(90, 0)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3])
def test_cameras_that_stand_still_are_no_leak(spread):
    features, labels, paths = scenes(spread=spread, jitter=0)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    assert np.quantile((scaled @ scaled.T - 2 * np.eye(120)).max(axis=1), 0.1) > 0.95  # alike they are
    assert not checked(features, labels, paths, np.arange(120) < 40).is_worth_a_warning


def test_blank_images_of_a_fixed_camera_are_not_checked():
    features, labels, paths = scenes(frames=2)
    blank = ["blank" if label == "fox" else label for label in labels]
    assert checked(features, blank, paths, np.arange(240) % 2 == 0) == Leakage(80, 80, ("S0/104_0", "S0/104_1"))


def test_images_taken_at_another_time_are_no_leak():
    features, labels, paths = scenes(frames=2)
    is_test = np.arange(240) % 2 == 0
    assert checked(features, labels, paths, is_test, is_test * 3601.0) == Leakage(120, 0)
    assert checked(features, labels, paths, is_test, is_test * 3599.0).found == 120
    assert checked(features, labels, paths, is_test, np.where(is_test, np.nan, 1e9)).found == 120


def test_folds_are_checked_against_each_other():
    features, labels, paths = scenes(count=60, frames=2)
    folds = np.arange(120) // 2 % 5
    whole = np.ones(120, dtype=bool)
    assert find_leaks(features, folds, whole, labels, paths) == Leakage(120, 0)
    folds[[10, 31]] = (folds[[10, 31]] + 1) % 5  # a frame of two scenes in another fold
    assert find_leaks(features, folds, whole, labels, paths).found == 4


def test_few_images_are_not_checked():
    features, labels, paths = scenes(count=12, frames=2)
    found = checked(features, labels, paths, np.arange(24) % 2 == 0)
    assert found == Leakage(0, 0) and not found.is_worth_a_warning


def test_features_that_never_vary_are_no_fault():
    features, labels, paths = scenes(count=60)
    assert checked(np.zeros_like(features), labels, paths, np.arange(60) < 20).checked == 20
    features[:, 0] = 7.0
    assert checked(features, labels, paths, np.arange(60) < 20) == Leakage(20, 0)
