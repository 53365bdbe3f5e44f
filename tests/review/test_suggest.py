"""Choosing bursts, compared with a naive reference, and properties that hold for every choice."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256

import numpy as np
import pytest

from pipelines.review.suggest import (
    Candidates,
    choose,
    cluster,
    divide,
    most_probable,
    nearest_threshold,
    plus_plus,
    smallest_margin,
)


def make_candidates(n=60, groups=40, stations=1, k=3, seed=0, **changed):
    rng = np.random.default_rng(seed)
    values = {
        "burst_id": [f"b{i:03}" for i in range(n)],
        "group_id": [f"g{i % groups}" for i in range(n)],
        "station": [f"S{i % stations}" for i in range(n)],
        "has_labelled_sibling": np.zeros(n, bool),
        "has_found_sibling": np.zeros(n, bool),
        "features": rng.normal(size=(n, 4)).astype(np.float32),
        "probabilities": rng.dirichlet(np.ones(k), n),
    }
    return Candidates(**{**values, **changed})


def naive_choice(candidates, count, scores, reason, seed):
    """Choose as documented, one burst after the other, in plain Python; return (row, reason) before interleaving."""
    n, rng, chosen = len(candidates.burst_id), np.random.default_rng(seed), []
    finds = reason == "probable"

    def open_rows():
        def seen(row):
            group = candidates.group_id[row]
            labelled = any(candidates.has_labelled_sibling[np.array(candidates.group_id) == group])
            return labelled + sum(candidates.group_id[other] == group for other, _ in chosen)

        left = [row for row in range(n) if row not in [other for other, _ in chosen]]
        fewest = min((seen(row) for row in left), default=0)
        return [row for row in left if seen(row) == fewest]

    def distance(one, other):
        return sum(step**2 for step in candidates.features[one] - candidates.features[other])

    random = round((0.05 if finds else 0.15) * count)
    diverse = 0 if finds else round(0.25 * count)
    for _ in range(count - random - diverse):
        if rows := open_rows():
            chosen.append((max(rows, key=lambda row: scores[row]), reason))
    for _ in range(diverse):
        if rows := open_rows():
            odds = np.zeros(n)
            for row in rows:
                nearest = min(distance(row, other) for other, _ in chosen)
                odds[row] = (1 - max(candidates.probabilities[row])) * nearest
            chosen.append((int(rng.choice(n, p=odds / odds.sum())), "diverse"))
    for _ in range(random):
        if rows := open_rows():
            key = {row: sha256(f"audit:{candidates.burst_id[row]}".encode()).hexdigest() for row in rows}
            chosen.append((min(rows, key=key.get), "random"))
    return chosen


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["margin", "threshold", "probable"])
def test_the_choice_is_that_of_the_naive_reference(kind, seed):
    labelled = np.arange(60) % 40 < 5  # five groups
    candidates = make_candidates(seed=seed, has_labelled_sibling=labelled)
    rows = candidates.probabilities
    if kind == "margin":
        criterion = smallest_margin(rows)
        scores = [sorted(row)[-2] - sorted(row)[-1] for row in rows]
    elif kind == "threshold":
        criterion = nearest_threshold(rows, {0: 0.02, 2: 0.4})
        scores = [-min(abs(logit(row[0]) - logit(0.02)), abs(logit(row[2]) - logit(0.4))) for row in rows]
    else:
        criterion, scores = most_probable(rows[:, 1]), rows[:, 1]
    for count in (1, 7, 20, 45, 80):  # 45: siblings too; 80: more than there are
        choices = [(choice.row, choice.reason) for choice in choose(candidates, count, criterion, seed)]
        assert sorted(choices) == sorted(naive_choice(candidates, count, scores, kind, seed)), count


def test_sixty_percent_are_uncertain_a_quarter_diverse_and_the_rest_random():
    candidates = make_candidates(n=300, groups=300)
    choices = choose(candidates, 100, smallest_margin(candidates.probabilities))
    assert Counter(choice.reason for choice in choices) == {"margin": 60, "diverse": 25, "random": 15}
    first = Counter(choice.reason for choice in choices[:20])  # whoever stops early has the same shares
    assert first == {"margin": 12, "diverse": 5, "random": 3}


def test_the_same_seed_gives_the_same_choice_and_another_seed_other_diverse_ones():
    candidates = make_candidates(n=300, groups=300)
    criterion = smallest_margin(candidates.probabilities)
    assert choose(candidates, 50, criterion, 1) == choose(candidates, 50, criterion, 1)
    one, other = (
        {choice.row for choice in choose(candidates, 50, criterion, seed) if choice.reason == "diverse"}
        for seed in (1, 2)
    )
    assert one != other


def test_one_burst_of_each_group_comes_before_its_siblings():
    candidates = make_candidates(n=60, groups=20)
    for criterion in (None, smallest_margin(candidates.probabilities)):
        groups = [candidates.group_id[choice.row] for choice in choose(candidates, 20, criterion)]
        assert sorted(groups) == sorted(set(candidates.group_id))
        rows = [choice.row for choice in choose(candidates, 60, criterion)]
        assert sorted(rows) == list(range(60))


def test_siblings_of_a_find_come_first_then_the_most_probable():
    found = np.arange(60) % 40 == 7  # bursts 7 and 47
    candidates = make_candidates(has_found_sibling=found, has_labelled_sibling=found)
    choices = choose(candidates, 12, most_probable(candidates.probabilities[:, 0]))
    assert [(choice.row, choice.reason) for choice in choices[:2]] == [(7, "sibling"), (47, "sibling")]
    assert Counter(choice.reason for choice in choices) == {"sibling": 2, "probable": 10}


def test_centers_are_one_of_each_cluster_and_of_each_station():
    blobs = np.repeat(np.eye(4, dtype=np.float32) * 100, 10, axis=0)
    noise = np.random.default_rng(0).normal(size=blobs.shape).astype(np.float32)
    candidates = make_candidates(n=40, groups=40, features=blobs + noise, probabilities=None)
    choices = choose(candidates, 4)
    assert {choice.row // 10 for choice in choices} == {0, 1, 2, 3}
    assert {choice.reason for choice in choices} == {"center"}
    for choice in choices:  # the nearest to the mean of its cluster
        block = slice(choice.row // 10 * 10, choice.row // 10 * 10 + 10)
        distances = np.square(candidates.features[block] - candidates.features[block].mean(axis=0)).sum(axis=1)
        assert choice.row % 10 == distances.argmin()
    stations = ["A"] * 37 + ["B", "C", "D"]
    choices = choose(make_candidates(n=40, groups=40, station=stations, probabilities=None), 8)
    assert Counter(stations[choice.row] for choice in choices) == {"A": 5, "B": 1, "C": 1, "D": 1}


def test_copies_are_chosen_only_when_nothing_else_is_left():
    features = np.repeat(np.arange(5, dtype=np.float32)[:, None], 4, axis=0)  # five contents, four times each
    assert len({row // 4 for row in plus_plus(features, 5, np.random.default_rng(0))}) == 5
    assert sorted(plus_plus(features, 20, np.random.default_rng(0))) == list(range(20))
    assert len(cluster(features, 20, np.random.default_rng(0))) == 20


@pytest.mark.parametrize(
    ("count", "sizes", "quotas"),
    [(6, [10, 20], [2, 4]), (3, [100, 1, 1], [1, 1, 1]), (2, [1, 5, 3], [0, 1, 1]), (9, [2, 3], [2, 3]), (0, [4], [0])],
)
def test_quotas_are_proportional_and_at_least_one(count, sizes, quotas):
    assert divide(count, np.array(sizes)).tolist() == quotas


def test_a_certain_blank_is_farther_from_a_low_threshold_than_a_likely_animal():
    animal = np.array([0.0001, 0.2, 0.03])
    criterion = nearest_threshold(np.stack([animal, 1 - animal], axis=1), {0: 0.02})
    assert np.argsort(-criterion.score).tolist() == [2, 1, 0]
