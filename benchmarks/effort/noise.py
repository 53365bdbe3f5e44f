"""How many of injected label errors are among the first suspects that `irbis train` reports."""

from __future__ import annotations

import numpy as np
from bursts import training_set
from image_sets import ImageSet

from pipelines.config.loader import load_settings
from pipelines.evaluation.label_errors import first_suspects, rank_labels
from pipelines.stages.train.fit import fit_pipeline

TRAIN = load_settings(None).train


def measure_noise(images: ImageSet, share: float, seeds: int, methods: tuple[str, ...]) -> dict[str, list[float]]:
    """Return, by method and seed, the share of the changed labels that are among the first suspects."""
    found: dict[str, list[float]] = {method: [] for method in methods}
    everything = np.arange(len(images))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        labels, classes = images.label.copy(), np.unique(images.label)
        changed = rng.choice(len(labels), round(share * len(labels)), replace=False)
        for i in changed.tolist():
            labels[i] = rng.choice(classes[classes != labels[i]])
        rows = training_set(images, everything).assign(label=labels)
        held_out = fit_pipeline(rows, rows.classes, TRAIN).validation
        assert held_out is not None
        for method in methods:
            suspects = {each.content_hash for each in first_suspects(rank_labels([held_out], method))}
            found[method].append(float(np.isin(images.content_hash[changed], list(suspects)).mean()))
    return found
