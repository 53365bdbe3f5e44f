"""How far the review is: counts, rate, recall so far with its bound, and whether one may stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.formatting import pluralize
from pipelines.review.columns import Ints
from pipelines.review.decisions import Decisions
from pipelines.review.queues import Queues

Z = 1.959964  # of a two-sided 95 % interval


def wilson_interval(hits: int, trials: int, z: float = Z) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, spread = hits / trials, z * z / trials
    centre = share + spread / 2
    half = z * sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low, high = ((centre + sign * half) / (1 + spread) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Audit:
    """The audited part of the dismissed bursts. `missed`: what the model should not have dismissed, or cannot tell."""

    dismissed: int
    looked_at: int
    missed: int
    missed_high: float  # upper bound of the number of missed bursts among all dismissed ones

    @property
    def missed_estimate(self) -> float:
        return self.dismissed * self.missed / self.looked_at if self.looked_at else 0.0


@dataclass(frozen=True)
class Progress:
    """Numbers for the head of the page; None where they are not known."""

    done: int
    total: int
    rate: float | None  # bursts per minute
    minutes_left: float | None
    found: int
    recall: float | None
    recall_low: float | None
    target: float | None
    advice: str
    stored: int  # decisions of this session

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(decisions: Decisions, queues: Queues, bursts: Ints) -> Progress:
    """Return the progress in a queue of `bursts`, and the recall of the whole review."""
    done = decisions.done_bursts()
    set_aside = decisions.set_aside_bursts()
    rate, left = decisions.rate(), int((~set_aside[bursts]).sum())
    model = decisions.snapshot.model
    recall = _measure_recall(decisions, queues, done) if model else None
    return Progress(
        int(done[bursts].sum()),
        len(bursts),
        rate,
        left / rate if rate else None,
        recall.found if recall else 0,
        recall.estimate if recall else None,
        recall.low if recall else None,
        model.target_recall if model else None,
        recall.advice if recall else "",
        decisions.count,
    )


@dataclass(frozen=True)
class _Recall:
    found: int
    estimate: float | None
    low: float | None
    advice: str


def _measure_recall(decisions: Decisions, queues: Queues, done: NDArray[np.bool_]) -> _Recall:
    """Estimate the share of the sought bursts that a person has found, among those without a label of the source.

    What is left in the queue `review` is estimated by the model's probabilities; for the bound, all of it may be
    missing. Of the dismissed bursts, the audit is a random sample. If all classes are of interest, the bursts that were
    not reviewed are not missed, but keep their prediction: there is no recall, only the share of wrong predictions.
    """
    model, sought = decisions.snapshot.model, decisions.snapshot.bursts.sought
    assert model is not None
    open_review = queues.to_review[~done[queues.to_review]]
    audit = measure_audit(decisions, queues, done)
    if not model.of_interest:
        return _Recall(0, None, None, _advise_accuracy(len(open_review), audit))
    is_found = _find_sought(decisions) & done
    in_dismissed = int(is_found[queues.dismissed].sum())
    found = in_dismissed + int(is_found[queues.to_review].sum())
    missing = float(sought[open_review].sum()) + max(0.0, audit.missed_estimate - in_dismissed)
    missing_high = len(open_review) + max(0.0, audit.missed_high - in_dismissed)
    estimate = found / (found + missing) if found else None
    low = found / (found + missing_high) if found else None
    return _Recall(found, estimate, low, _advise(found, len(open_review), audit, low, model.target_recall))


def measure_audit(decisions: Decisions, queues: Queues, done: NDArray[np.bool_]) -> Audit:
    """Measure the audited bursts: the sample up to the last one that was decided in the queue `audit`.

    One that was skipped on the way, or that nobody could tell, counts as missed: those that are hard to see are skipped
    more often.
    """
    snapshot, order = decisions.snapshot, queues.dismissed
    best = snapshot.bursts.best
    audited = np.flatnonzero(decisions.is_audited[best[order]])
    last = int(audited[-1]) + 1 if len(audited) else 0
    sample = order[:last]
    labels = decisions.labels[best[sample]]
    is_missed = ~done[sample] | (labels < 0)
    if snapshot.model and snapshot.model.of_interest:
        is_missed |= _find_sought(decisions)[sample]
    else:
        predicted = [snapshot.burst_predictions.text(int(row)) for row in best[sample]]
        is_missed |= np.array([decisions.label_of(int(row)) for row in best[sample]]) != np.array(predicted)
    missed = int(is_missed.sum())
    high = wilson_interval(missed, last)[1] if last < len(order) else missed / max(1, last)
    return Audit(len(order), last, missed, high * len(order))


def _find_sought(decisions: Decisions) -> NDArray[np.bool_]:
    """Return for each burst whether a person has given any frame a label of interest."""
    model, starts = decisions.snapshot.model, decisions.snapshot.bursts.starts[:-1]
    sought = np.array([model is not None and model.is_sought(name) for name in decisions.label_names] + [False])
    values = sought[decisions.labels] & decisions.is_decided
    return np.logical_or.reduceat(values, starts) if len(starts) else np.zeros(0, bool)


def _advise_accuracy(left: int, audit: Audit) -> str:
    """Return one sentence on the predictions that are taken over without review."""
    if left:
        return f"{pluralize(left, 'burst')} still to review."
    if not audit.looked_at:
        return "All that needs review is done. The queue audit shows how many of the other predictions are wrong."
    share = audit.missed_high / audit.dismissed
    wrong = f"{audit.missed:,} of {pluralize(audit.looked_at, 'audited burst')} wrong"
    return f"All that needs review is done. {wrong}: at most {share:.1%} of the other predictions (95 % sure)."


def _advise(found: int, left: int, audit: Audit, low: float | None, target: float) -> str:
    """Return one sentence on what is left before one may stop."""
    goal = f"{target:.0%}"
    if left:
        return f"{pluralize(left, 'burst')} still to review."
    if low is not None and low >= target:
        return f"You may stop: at least {low:.1%} of the bursts of interest are found (95 % sure), the aim is {goal}."
    if not audit.dismissed or audit.looked_at >= audit.dismissed:
        return "You may stop: every burst has been looked at."
    more = _audit_size(found, audit, target) - audit.looked_at
    if audit.looked_at + more >= audit.dismissed:
        return f"All that needs review is done. To be sure of {goal}, look at all dismissed bursts: queue audit."
    return (
        f"All that needs review is done. To be sure of {goal}, look at about {more:,} more bursts in the queue audit."
    )


def _audit_size(found: int, audit: Audit, target: float) -> int:
    """Return how many dismissed bursts must be looked at, if as few are missed as so far."""
    share = audit.missed / audit.looked_at if audit.looked_at else 0.0
    size = max(audit.looked_at, 10)
    while size < audit.dismissed:
        missed = round(share * size)
        high = wilson_interval(missed, size)[1] * audit.dismissed - missed
        if found + missed and (found + missed) / (found + missed + max(0.0, high)) >= target:
            return size
        size = int(size * 1.1) + 1
    return audit.dismissed
