"""Served models with random coefficients, and the images that tests predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.backbones import load_backbone
from pipelines.evaluation.needs_review import ReviewRule
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.serving.description import Limits
from pipelines.serving.export import write_model
from pipelines.serving.head import Head, Linear
from pipelines.serving.predictor import Prediction

from ..stages.conftest import jpeg

LABELS = ("plain", "striped")
PHOTOS = [jpeg(60 + 10 * i, i, label=LABELS[i % 2]) for i in range(12)]
WIDTHS = {"irbis_tiny": 576, "raw_pixels": 3072}


def assert_same(rows, others) -> None:
    """Compare predictions but for the last digits, which depend on how many images are multiplied at once."""
    assert [_exact(row) for row in rows] == [_exact(row) for row in others]
    for row, other in zip(rows, others, strict=True):
        assert (row.score, row.burst_score) == pytest.approx((other.score, other.burst_score), abs=1e-12)
        assert row.probabilities == pytest.approx(other.probabilities, abs=1e-12)


def _exact(row: Prediction) -> Prediction:
    return row._replace(score=None, burst_score=None, probabilities={})


def write(folder: Path, cache: Path, names=("irbis_tiny",), *, flips=False, engine="auto", precision="exact") -> Head:
    """Write a served model irbis/3 into a folder, and return its head."""
    backbones = [load_backbone(name, precision=precision, check=False) for name in names]
    width = sum(WIDTHS[name] for name in names)
    random = np.random.default_rng(5)
    head = Head(Linear(random.normal(size=(2, width)) / 10, random.normal(size=2)), temperature=1.5)
    write_model(
        folder,
        head,
        backbones,
        name="irbis",
        version="3",
        labels=LABELS,
        policy=ReviewPolicy(max_weight=0.5, average_flip=flips),
        rule=ReviewRule(0.99, "group", 0.8),
        limits=Limits(100_000, 1_000_000, 20.0),
        engine=engine,
        cache=str(cache),
    )
    return head
