"""How far the review is: counts, rate, recall so far with its bound, and whether one may stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from pipelines.formatting import pluralize
from pipelines.review.columns import Ints
from pipelines.review.decisions import Decisions
from pipelines.review.queues import Queues
from pipelines.schemas import Decision

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


def _measure_recall(decisions: Decisions, queues: Queues, done: np.ndarray) -> _Recall:
    """Estimate the share of the sought bursts that a person has found.

    What is left in the queue `review` is estimated by the model's probabilities; for the bound, all of it may be
    missing. Of the dismissed bursts, the audit is a random sample.
    """
    snapshot = decisions.snapshot
    model, bursts = snapshot.model, snapshot.bursts
    assert model is not None
    sought = np.array([model.is_sought(name) for name in decisions.label_names] + [False])
    is_found = _any_frame(decisions, sought[decisions.labels] & decisions.is_decided)
    review = queues.to_review
    open_review = review[~done[review]]
    audit = measure_audit(decisions, queues)
    found = int((is_found & done).sum())
    missing = float(bursts.sought[open_review].sum()) + max(0.0, audit.missed_estimate - audit.missed)
    missing_high = len(open_review) + max(0.0, audit.missed_high - audit.missed)
    estimate = found / (found + missing) if found else None
    low = found / (found + missing_high) if found else None
    return _Recall(found, estimate, low, _advise(found, len(open_review), audit, low, model.target_recall))


def measure_audit(decisions: Decisions, queues: Queues) -> Audit:
    """Measure the audited bursts: the sample up to the last one that was decided in the queue `audit`.

    One that was skipped on the way counts as missed: those that are hard to see are skipped more often.
    """
    order = queues.dismissed
    model, best = decisions.snapshot.model, decisions.snapshot.bursts.best
    audited = np.flatnonzero(decisions.is_audited[best[order]])
    last = int(audited[-1]) + 1 if len(audited) else 0
    of_interest = model.of_interest if model else ()
    made = [decisions.in_force(decisions.hash_of(int(best[burst]))) for burst in order[:last]]
    missed = sum(decision is None or _is_missed(decision, of_interest) for decision in made)
    high = wilson_interval(missed, last)[1] if last < len(order) else missed / max(1, last)
    return Audit(len(order), last, missed, high * len(order))


def _is_missed(decision: Decision, of_interest: tuple[str, ...]) -> bool:
    if decision.label is None:
        return True
    return decision.label in of_interest if of_interest else decision.label != decision.predicted


def _any_frame(decisions: Decisions, values: np.ndarray) -> np.ndarray:
    starts = decisions.snapshot.bursts.starts[:-1]
    return np.logical_or.reduceat(values, starts) if len(starts) else np.zeros(0, bool)


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
