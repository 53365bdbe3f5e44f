"""Accuracy on another drawn set after training on 40 bursts, and on 60 more: suggested ones, or random ones."""

from __future__ import annotations

import numpy as np
from bursts import Bursts, training_set
from image_sets import ImageSet

from pipelines.config.loader import load_settings
from pipelines.review.suggest import choose, nearest_threshold, smallest_margin
from pipelines.stages.train.fit import FittedPipeline, fit_pipeline

FIRST, MORE = 40, 60
SETTINGS = load_settings(None)


def measure_learning(images: ImageSet, test: ImageSet, seeds: int) -> dict[str, list[float]]:
    """Return the accuracy of each seed by what was labelled."""
    bursts = Bursts(images)
    accuracies: dict[str, list[float]] = {"40 bursts": [], "and 60 suggested": [], "and 60 random": [], "all": []}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(bursts))
        is_labelled = np.isin(np.arange(len(bursts)), order[:FIRST])
        fitted = _fit(bursts, is_labelled)
        accuracies["40 bursts"].append(_accuracy(fitted, test, bursts, is_labelled))
        suggested = is_labelled.copy()
        suggested[_suggest(bursts, is_labelled, fitted, seed)] = True
        random = np.isin(np.arange(len(bursts)), order[: FIRST + MORE])
        for name, mask in (("and 60 suggested", suggested), ("and 60 random", random), ("all", random | True)):
            accuracies[name].append(_accuracy(_fit(bursts, mask), test, bursts, mask))
    return accuracies


def _fit(bursts: Bursts, is_labelled: np.ndarray) -> FittedPipeline:
    rows = bursts.training_set(is_labelled)
    return fit_pipeline(rows, rows.classes, SETTINGS.train)


def _suggest(bursts: Bursts, is_labelled: np.ndarray, fitted: FittedPipeline, seed: int) -> list[int]:
    """Return the bursts that `irbis suggest` chooses with this model."""
    rows = bursts.training_set(is_labelled)
    everything = training_set(bursts.images, np.arange(len(bursts.images)))
    predictions = fitted.model.predict(everything.assign(label=rows.classes[0]), rows.classes)
    assert predictions is not None
    probabilities = bursts.average(predictions.aggregate_bursts(fitted.policy.max_weight).probabilities)
    thresholds = fitted.policy.thresholds(SETTINGS.score.recall_unit, SETTINGS.score.target_recall)
    by_index = {rows.classes.index(label): value for label, value in thresholds.items()}
    left = np.flatnonzero(~is_labelled)
    candidates = bursts.candidates(left, is_labelled, probabilities)
    candidates.has_found_sibling[:] = False  # no class is looked for
    criterion = nearest_threshold(probabilities[left], by_index) if by_index else smallest_margin(probabilities[left])
    return left[[choice.row for choice in choose(candidates, MORE, criterion, seed)]].tolist()


def _accuracy(fitted: FittedPipeline, test: ImageSet, bursts: Bursts, is_labelled: np.ndarray) -> float:
    classes = bursts.training_set(is_labelled).classes
    probabilities = fitted.model.classifier.model.predict_proba(test.features)  # type: ignore[attr-defined]
    return float((np.array(classes)[probabilities.argmax(axis=1)] == test.label).mean())
