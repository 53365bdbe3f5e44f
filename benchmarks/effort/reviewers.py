"""Simulated reviewers: the order in which each looks at the bursts of a set, until the class of interest is found."""

from __future__ import annotations

import numpy as np
from bursts import Bursts, Floats, Ints

from pipelines.classifiers.in_memory import InMemorySolver
from pipelines.config.loader import load_settings
from pipelines.review.columns import rank_within
from pipelines.review.suggest import choose, most_probable

FIRST = 10  # bursts that are labelled before the first training
GROWTH = 0.1  # a batch: this share of what is labelled already, at least MIN_BATCH
MIN_BATCH = 5
RECALLS = (0.95, 0.99)
# One penalty of conf/base.yaml: selecting it by cross-validation, as `irbis train` does, takes 25 times as long.
TRAIN = load_settings(None, {"train.reg_params": "0.03"}).train
SCORE = load_settings(None).score


def random_order(bursts: Bursts, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(len(bursts)).tolist()


def confidence_order(bursts: Bursts, seed: int) -> list[int]:
    """Label the first bursts of `irbis suggest`, train once, then take the least confident first."""
    first = _choose_first(bursts, seed)
    is_labelled = np.isin(np.arange(len(bursts)), first)
    probabilities, _ = _train(bursts, is_labelled)
    confidence = bursts.average(probabilities).max(axis=1)
    left = np.flatnonzero(~is_labelled)
    return first + left[np.argsort(confidence[left], kind="stable")].tolist()


def suggested_order(bursts: Bursts, seed: int) -> list[int]:
    """Look at what `irbis suggest --find CLASS` says, train, and repeat; stops at the highest of RECALLS."""
    order = _choose_first(bursts, seed)
    while len(order) < len(bursts) and bursts.found[order].sum() < _required(bursts, RECALLS[-1]):
        is_labelled = np.isin(np.arange(len(bursts)), order)
        left = np.flatnonzero(~is_labelled)
        probabilities, classes = _train(bursts, is_labelled)
        wanted, criterion = bursts.images.class_of_interest, None
        if wanted in classes and len(classes) > 1:
            criterion = most_probable(bursts.highest(probabilities[:, classes.index(wanted)])[left])
        candidates = bursts.candidates(left, is_labelled, bursts.average(probabilities))
        batch = max(MIN_BATCH, int(GROWTH * len(order)))
        order += left[[choice.row for choice in choose(candidates, batch, criterion, seed)]].tolist()
    return order


def review_order(bursts: Bursts, seed: int) -> list[int]:
    """Work through the queue `review`, then `audit`; train and score after each batch; stops as suggested_order.

    The class of interest has no operating point, as after few labels: what is predicted as it, or is less certain than
    score.review_threshold, needs review.
    """
    order, audit = _choose_first(bursts, seed), random_order(bursts, seed)
    while len(order) < len(bursts) and bursts.found[order].sum() < _required(bursts, RECALLS[-1]):
        is_labelled = np.isin(np.arange(len(bursts)), order)
        probabilities, classes = _train(bursts, is_labelled)
        votes, wanted = bursts.average(probabilities), bursts.images.class_of_interest
        distance = np.abs(votes.max(axis=1) - SCORE.review_threshold)  # as pipelines.review.model_scores.margins
        needs_review = votes.max(axis=1) < SCORE.review_threshold
        if wanted in classes:
            needs_review |= votes.argmax(axis=1) == classes.index(wanted)
        nearest = [row for row in np.argsort(distance, kind="stable").tolist() if needs_review[row]]
        nearest = [row for row in nearest if not is_labelled[row]]
        _, groups = np.unique(bursts.group_id[nearest], return_inverse=True)
        queue = [nearest[i] for i in np.argsort(rank_within(groups), kind="stable")]
        queue += [row for row in audit if not is_labelled[row] and not needs_review[row]]
        order += queue[: max(MIN_BATCH, int(GROWTH * len(order)))]
    return order


def count_looks(bursts: Bursts, order: list[int]) -> list[int]:
    """Return the number of images that were looked at when each of RECALLS was reached, whole bursts at a time."""
    looks, found = np.cumsum(bursts.sizes[order]), np.cumsum(bursts.found[order])
    return [int(looks[np.argmax(found >= _required(bursts, recall))]) for recall in RECALLS]


def _required(bursts: Bursts, recall: float) -> float:
    return float(np.ceil(recall * bursts.found.sum() - 1e-9))


def _choose_first(bursts: Bursts, seed: int) -> list[int]:
    nothing = np.zeros(len(bursts), bool)
    everything: Ints = np.arange(len(bursts))
    return [choice.row for choice in choose(bursts.candidates(everything, nothing), FIRST, None, seed)]


def _train(bursts: Bursts, is_labelled: np.ndarray) -> tuple[Floats, list[str]]:
    """Return the probabilities of all images, and the classes, of a model trained on the labelled bursts."""
    rows = bursts.training_set(is_labelled)
    fitted = InMemorySolver().fit_with_validation(rows, rows.where(np.zeros(len(rows), bool)), rows.classes, TRAIN)
    return fitted.classifier.model.predict_proba(bursts.images.features), rows.classes  # type: ignore[attr-defined]
