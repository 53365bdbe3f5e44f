"""Write the card of a model version: what it is for, what it was measured on, and where it is weak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from pipelines.backbones.registry import ARCHITECTURES
from pipelines.evaluation.held_out import method_name
from pipelines.evaluation.results import Evaluation, align_columns, text_table, truncate
from pipelines.evaluation.review_policy import (
    TARGET_RECALLS,
    OperatingPoint,
    OperatingPointResult,
    drop_redundant_units,
)
from pipelines.evaluation.split import SPLITS, Counts, split_size
from pipelines.reports.charts import top_confusions

FOUND_BY = "on test", "by cross-validation"
FEW_GROUPS = 20  # with fewer, one encounter more or less moves a share by over five points


def model_card(
    name: str,
    backbone: str,
    counts: Counts,
    test: Evaluation,
    classifier: str,
    *,
    voted: Evaluation,
    reviews: Sequence[OperatingPointResult],
    calibration: tuple[float, float],
    interesting: Sequence[str] = (),
    weights: str | None = None,
    folds: int = 0,
    caveats: Sequence[str] = (),
) -> str:
    """Give the card as Markdown (after Mitchell et al., 2019, Model cards for model reporting).

    `voted` is of the test images after the vote of their bursts, `calibration` the error before the temperature, and
    the temperature; `weights` the file that the settings name, if they do. With `folds` the figures are of
    cross-validation over all groups; `caveats` are sentences that stand beside them.
    """
    weaknesses = "\n".join(f"- {each}" for each in _weaknesses(counts, test, reviews, interesting, folds))
    return f"""# {name}

## What it is for

Says which of these labels a camera-trap image has: {", ".join(test.classes)}. It is meant for images of the
stations that it was trained on, and to say which of them a person must look at. Looked for:
{", ".join(interesting) or "nothing"}.

Not for: labels it was not trained on (every image gets one of the above), other cameras or places without a
fresh look at the figures, and decisions about single animals without a person's eye.

## How it is made

{_making(backbone, weights)}
- Classifier: {classifier}

## Data

{_data(counts)}

## Known weaknesses

{weaknesses}

## What a person must look at

```
{review_table(reviews, folds)}
```

## {method_name(folds).capitalize()}

{"".join(f"- {each}{chr(10)}" for each in caveats)}{chr(10) if caveats else ""}{_measured(test, voted, calibration)}
"""


def review_table(reviews: Sequence[OperatingPointResult], folds: int = 0) -> str:
    """Give what each operating point costs and finds, as an aligned table, and which ones score does not take."""
    if not reviews:
        return "No image held out of learning has a class of interest, so there is no operating point."
    rows = [["class", "to find", "of its", "share to look at", f"found {FOUND_BY[bool(folds)]}", "chosen on", ""]]
    for review in drop_redundant_units(reviews):
        point = review.point
        units = f"{point.units:,} {point.unit}{'s' if point.units > 1 else ''}"
        found = f"{review.recall.format(2)} of {review.units:,}"
        wanted = [truncate(point.label), f"{point.recall:.0%}", f"{point.unit}s"]
        rows.append([*wanted, review.share.format(2), found, units, "" if point.is_reliable else _unused(point)])
    return "\n".join(align_columns(rows))


def _unused(point: OperatingPoint) -> str:
    return f"too few groups ({point.groups:,} of {point.min_groups:,}): not used"


def _measured(test: Evaluation, voted: Evaluation, calibration: tuple[float, float]) -> str:
    return f"""```
{text_table(test)}
```

After the vote of each burst: accuracy {voted.metrics["accuracy"].format()}, balanced accuracy
{voted.metrics["balanced_accuracy"].format()}.

Calibration error {calibration[0]:.3f} before, and {test.metrics["calibration_error"].format()} after the logits were
divided by {calibration[1]:.3g}."""


def _data(counts: Counts) -> str:
    totals = ", ".join(f"{split_size(counts, split):,} {split}" for split in SPLITS)
    rows = [["class", *SPLITS]]
    for label, found in counts.items():
        rows.append([truncate(label), *("{:,} ({:,})".format(*found.get(split, (0, 0))) for split in SPLITS)])
    table = "\n".join(align_columns(rows))
    return f"""Images: {totals}; split by group, so that no encounter stands on two sides. Images (groups) of each
class:

```
{table}
```"""


def _weaknesses(
    counts: Counts, test: Evaluation, reviews: Sequence[OperatingPointResult], interesting: Sequence[str], folds: int
) -> Iterator[str]:
    yield "The figures hold for these stations and seasons only: label some images of another, and look again."
    if not test.is_grouped:
        yield "Every test image is a group of its own. If the set holds bursts, the figures are too good."
    for label, found in counts.items():
        in_all = {"all": (0, sum(groups for _, groups in found.values()))}
        splits = in_all if folds else {split: found.get(split, (0, 0)) for split in ("train", "test")}
        few = [(groups, split) for split, (_, groups) in splits.items() if groups < FEW_GROUPS]
        if few:
            counted = ", ".join(f"{groups} in {split}" for groups, split in few)
            yield f"Few groups of {truncate(label)}: {counted}. Its figures may move much with more."
    for recall in TARGET_RECALLS:
        used = {each.point.label for each in reviews if each.point.recall == recall and each.point.is_reliable}
        if unused := ", ".join(truncate(label) for label in interesting if label not in used):
            yield f"Too few groups were held out to dismiss images at recall {recall:.0%}: {unused}."
    recalls = [(each.recall.value, label) for label, each in test.per_class.items() if each.recall.value is not None]
    if recalls:
        _, label = min(recalls)
        yield f"Lowest recall: {truncate(label)}, {test.per_class[label].recall.format(2)}."
    for worst in top_confusions(test, 1):
        yield (
            f"Most frequent mistake: {truncate(worst.truth)} taken for {truncate(worst.prediction)}, "
            f"{worst.count:,} images, {worst.share:.0%} of its own."
        )


def _making(backbone: str, weights: str | None) -> str:
    """Say what computes the features; `backbone` is name@digits of the weights' SHA-256/preprocessing[/fast]."""
    network, _, rest = backbone.partition("@")
    digits, _, preprocessing = rest.partition("/")
    licence = ARCHITECTURES[network].licence if network in ARCHITECTURES else "not known"
    if weights:
        licence = f"that of their maker ({PurePath(weights).name} was given)"
    return f"""- Backbone: {network}, weights with SHA-256 {digits}...
- Licence of the weights: {licence}
- Preprocessing: {preprocessing} (fit, side in pixels, interpolation; ImageNet's mean and std if none are named)"""
