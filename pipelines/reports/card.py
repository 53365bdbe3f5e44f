"""Write the card of a model version: what it is, what it was measured on, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.evaluation.figures import Evaluation, aligned, shortened, text_table
from pipelines.evaluation.operating_point import Review


def model_card(
    name: str,
    backbone: str,
    rows: Mapping[str, int],
    test: Evaluation,
    classifier: str,
    *,
    voted: Evaluation,
    reviews: Sequence[Review],
    calibration: tuple[float, float],
) -> str:
    """Give the card as Markdown (after Mitchell et al., 2019, Model cards for model reporting).

    `voted` is of the test pictures after the vote of their bursts, `calibration` the error before the temperature, and
    the temperature.
    """
    counts = ", ".join(f"{rows.get(split, 0):,} {split}" for split in ("train", "validation", "test"))
    weakest = min(
        (each for each in test.per_class.items() if each[1].recall.value is not None),
        key=lambda each: each[1].recall.value or 0.0,
        default=None,
    )
    weakness = f"Lowest recall: {weakest[0]}, {weakest[1].recall.text(2)}." if weakest else ""
    return f"""# {name}

Says which of these labels a picture has: {", ".join(test.classes)}.

- Features: `{backbone}` (network @ SHA-256 of its weights / preprocessing)
- Classifier: {classifier}
- Pictures: {counts}; split by group, so that no encounter stands on two sides
- {weakness}

Not for: labels it was not trained on (every picture gets one of the above), other cameras or places without a
fresh look at the figures, and decisions about single animals without a person's eye.

## What a person must look at

```
{review_table(reviews)}
```

## Test

```
{text_table(test)}
```

After the vote of each burst: accuracy {voted.metrics["accuracy"].text()}, balanced accuracy
{voted.metrics["balanced_accuracy"].text()}. Calibration error {calibration[0]:.3f} before, and
{test.metrics["calibration_error"].text()} after the logits were divided by {calibration[1]:.3g}.
"""


def review_table(reviews: Sequence[Review]) -> str:
    """Give what each operating point costs and finds, as an aligned table."""
    if not reviews:
        return "No validation picture has a class of interest, so there is no operating point."
    rows = [["class", "to find", "of its", "look at, share of all pictures", "found on test", "chosen on"]]
    for review in reviews:
        point = review.point
        units = f"{point.units:,} {point.unit}{'s' if point.units > 1 else ''}"
        found = f"{review.recall.text(2)} of {review.units:,}"
        wanted = [shortened(point.label), f"{point.recall:.0%}", f"{point.unit}s"]
        rows.append([*wanted, review.share.text(2), found, units])
    return "\n".join(aligned(rows))
