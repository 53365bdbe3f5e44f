"""Suspected label errors: labelled images ranked by how little a model that was not trained on them believes the label.

Northcutt et al. 2021 ("Confident learning", JAIR) compare ways to rank. The self-confidence, the probability of the
given label, is as good as the others; it needs no threshold, which varies between data sets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import PlatformError
from pipelines.evaluation.bootstrap import Floats, Ints
from pipelines.evaluation.predictions import PredictionSet

SELF_CONFIDENCE, CLEANLAB = "self_confidence", "cleanlab"
SUSPECT_SHARE, MAX_SUSPECTS = 0.06, 5_000  # the first of the ranking, for review


class Suspect(NamedTuple):
    """A labelled image in the ranking.

    `suggested` is the most probable label, `self_confidence` the probability of the given one, `reason` the method that
    ranked it.
    """

    content_hash: str
    label: str
    suggested: str
    self_confidence: float
    reason: str


def rank_labels(held_out: Sequence[PredictionSet], method: str = SELF_CONFIDENCE) -> list[Suspect]:
    """Return all images of held-out predictions, the most suspect first; of several predictions the first counts.

    By `self_confidence` the lowest probability of the given label comes first. With `cleanlab`, the images that its
    confident learning finds come before all others. Raises PlatformError if cleanlab is not installed.
    """
    labels, probabilities, hashes, classes = _stack(held_out)
    if not len(labels):
        return []
    confidence = probabilities[np.arange(len(labels)), labels]
    is_issue = _find_issues(labels, probabilities) if method == CLEANLAB else np.zeros(len(labels), bool)
    order = np.lexsort((hashes, confidence, ~is_issue))
    best = probabilities.argmax(axis=1)
    return [
        Suspect(
            str(hashes[i]),
            classes[labels[i]],
            classes[best[i]],
            float(confidence[i]),
            CLEANLAB if is_issue[i] else SELF_CONFIDENCE,
        )
        for i in order.tolist()
    ]


def first_suspects(ranking: Sequence[Suspect]) -> list[Suspect]:
    """Return the first SUSPECT_SHARE of a ranking, at most MAX_SUSPECTS, whose label is not the most probable one."""
    count = min(MAX_SUSPECTS, int(np.ceil(SUSPECT_SHARE * len(ranking))))
    return [suspect for suspect in ranking[:count] if suspect.label != suspect.suggested]


def ranking_to_csv(ranking: Sequence[Suspect]) -> str:
    """Return the ranking as CSV with the fields of Suspect, one row per image in order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Suspect._fields)
    writer.writerows(ranking)
    return text.getvalue()


def _stack(held_out: Sequence[PredictionSet]) -> tuple[Ints, Floats, Any, tuple[str, ...]]:
    """Return label indices, probabilities, content hashes and classes of the first prediction of each content."""
    classes = held_out[0].classes if held_out else ()
    known: set[str] = set()
    labels, probabilities, hashes = [], [], []
    for part in held_out:
        assert part.classes == classes
        is_new = np.array([each not in known for each in part.content_hashes], bool)
        known |= set(part.content_hashes)
        labels.append(part.class_indices[is_new])
        probabilities.append(part.probabilities[is_new])
        hashes.append(np.asarray(part.content_hashes, str)[is_new])
    if not held_out:
        return np.zeros(0, np.int64), np.zeros((0, 0)), np.zeros(0, str), ()
    return np.concatenate(labels), np.concatenate(probabilities), np.concatenate(hashes), classes


def _find_issues(labels: Ints, probabilities: Floats) -> Any:
    """Return the mask of the images that cleanlab's confident learning finds."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise PlatformError(
            "train.label_errors=cleanlab needs cleanlab 2.9, which is not installed. pip install 'irbis[cleanlab]', or "
            "use train.label_errors=self_confidence."
        ) from error
    present, dense = np.unique(labels, return_inverse=True)  # cleanlab expects every class among the labels
    shares = probabilities[:, present] / np.maximum(probabilities[:, present].sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(find_label_issues(dense, shares, filter_by="prune_by_noise_rate", n_jobs=1), bool)
