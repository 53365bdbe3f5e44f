"""Rows of three classes that a linear classifier tells apart, mostly."""

from __future__ import annotations

import numpy as np

CLASSES = ["blank", "deer", "fox"]


def separable_rows(spark, count):
    """Return cached rows of number, features, label: six features of different scales, the last one constant."""
    random = np.random.default_rng(3)
    labels = [CLASSES[i % 3] for i in range(count)]
    features = random.normal(size=(count, 6)) * [1, 5, 0.1, 1, 1, 0] + [0, 3, 0, 0, 0, 7]
    features[np.arange(count), [CLASSES.index(label) for label in labels]] += 1
    table = [
        (i, list(map(float, values)), label) for i, (values, label) in enumerate(zip(features, labels, strict=True))
    ]
    return spark.createDataFrame(table, "number int, features array<float>, label string").cache()
