"""Write the card of a model version: what it is, what it was measured on, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.evaluation.figures import Evaluation, text_table


def model_card(name: str, backbone: str, rows: Mapping[str, int], test: Evaluation, reg_param: float) -> str:
    """Give the card as Markdown (after Mitchell et al., 2019, Model cards for model reporting)."""
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
- Classifier: multinomial logistic regression on standardised features, L2 penalty {reg_param:g}
- Pictures: {counts}; split by group, so that no encounter stands on two sides
- {weakness}

Not for: labels it was not trained on (every picture gets one of the above), other cameras or places without a
fresh look at the figures, and decisions about single animals without a person's eye.

## Test

```
{text_table(test)}
```
"""
