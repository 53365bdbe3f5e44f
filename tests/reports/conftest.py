"""Report contents made in code, with plain names and with hostile ones that try to break the page."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.results import Evaluation, Interval
from pipelines.evaluation.review_policy import TARGET_RECALLS, UNITS, OperatingPoint, OperatingPointResult
from pipelines.reports.contents import (
    AttentionBox,
    Conflict,
    DataSummary,
    FailureCount,
    ImageCard,
    LabelCount,
    LabelErrorSummary,
    ModelSummary,
    PredictionCount,
    ReportContents,
)

_PIECES = (
    "<script>document.title='taken over'</script>",
    '"><img src=x onerror="document.title=1">',
    "</style></title>&amp; '{{ 7 * 7 }}' {% raw %}",
    "\u202egpj.elif \u05d0\u05d1\u05d2 \u00e4\u4e2d",
    "n" * 300,
    "a$b_c$ ^{x}",
)
HOSTILE = (*_PIECES, "".join(_PIECES))  # the last one goes into most places


@lru_cache
def _thumbnail() -> str:
    image = io.BytesIO()
    Image.new("RGB", (160, 120), (90, 120, 80)).save(image, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(image.getvalue()).decode()


@lru_cache
def _evaluation(names=("blank", "deer", "ocelot"), rows=200) -> Evaluation:
    generator = np.random.default_rng(5)
    groups = generator.integers(40, size=rows)
    truth = groups % len(names)
    scores = generator.normal(size=(rows, len(names)))
    scores[np.arange(rows), truth] += 1.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return evaluate(
        [names[each] for each in truth], probabilities, names, [f"g{each}" for each in groups], bootstrap=50
    )


def _reviews(names, groups=120) -> Iterator[OperatingPointResult]:
    """Yield operating points with distinct metrics, chosen on `groups` held-out groups."""
    for i, (name, unit, recall) in enumerate(itertools.product(names, UNITS, TARGET_RECALLS)):
        point = OperatingPoint(name, unit, recall, threshold=0.25, units=20 + i, groups=groups)
        share, achieved = 0.5 + i / 100, 0.9 + i / 1000
        yield OperatingPointResult(point, Interval(share, share - 0.1, share + 0.1), Interval(achieved), 40 + i)


def _contents(names=("blank", "deer", "ocelot"), **changes) -> ReportContents:
    """Return a report with every part, in which all untrusted text comes from `names`."""
    text = names[-1]
    box = AttentionBox(text, 0.25, 0.5, 0.125, 0.25, aspect=160 / 120)
    image = ImageCard(
        f"/data/{text}/{names[0]}", _thumbnail(), names[0], names[1], 0.97, text, datetime(2024, 5, 1, 6, 30), text, box
    )
    full = ReportContents(
        title=f"Report {text}",
        created_at=datetime(2026, 11, 21, 9, 30),
        workspace=f"/surveys/{text}",
        version="0.1.0",
        data=DataSummary(
            files=1205,
            rows=1210,
            images=1200,
            labelled=900,
            stations=2,
            first_capture=datetime(2024, 5, 1),
            last_capture=datetime(2024, 6, 1),
            labels=tuple(LabelCount(name, 70, 10, 20) for name in names),
            failures=(FailureCount("truncated", 3, f"/data/{text}", f"detail {names[0]}"),),
            conflicts=(Conflict((f"/a/{text}", f"/b/{names[0]}"), (names[0], names[1])),),
        ),
        model=ModelSummary(text, "7", f"backbone {names[0]}", None, {text: names[0]}, f"Champion, for {names[1]}."),
        evaluation=_evaluation(names),
        validation=_evaluation(names, rows=100),
        burst_evaluation=_evaluation(names),
        reviews=tuple(_reviews(names)),
        classes_of_interest=(names[1],),
        predictions=tuple(PredictionCount(name, 100, 10) for name in names),
        scored_new=305,
        most_wrong=(image,) * 3,
        least_confident=(replace(image, thumbnail=None), replace(image, thumbnail="https://example.org/x.jpg")),
        most_confident=dict.fromkeys(names, (image,)),
        label_errors=LabelErrorSummary("self_confidence", 880, 20, (replace(image, score=0.0213),)),
        by_station={f"station {name}": dict.fromkeys(names, 5) for name in names},
        by_hour={name: tuple(range(24)) for name in names},
    )
    return replace(full, **changes)


@pytest.fixture(scope="session")
def hostile():
    """Return names that try to break the page."""
    return HOSTILE


@pytest.fixture(scope="session")
def evaluation():
    """Return a function of class names and number of rows that returns an Evaluation."""
    return _evaluation


@pytest.fixture(scope="session")
def reviews():
    """Return a function of class names and number of groups that yields operating points."""
    return _reviews


@pytest.fixture(scope="session")
def contents():
    """Return a function of names and changed fields that returns a full ReportContents."""
    return _contents
