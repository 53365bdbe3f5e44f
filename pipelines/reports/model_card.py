"""Write the model card of a version: intended use, data, metrics and known weaknesses."""

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

FEW_GROUPS = 20  # with fewer, one encounter moves a fraction by more than five points


def model_card(
    name: str,
    backbone: str,
    counts: Counts,
    test: Evaluation,
    classifier: str,
    *,
    burst_test: Evaluation,
    reviews: Sequence[OperatingPointResult],
    calibration: tuple[float, float],
    classes_of_interest: Sequence[str] = (),
    weights: str | None = None,
    folds: int = 0,
    caveats: Sequence[str] = (),
    labelled_by_people: int = 0,
) -> str:
    """Return the card as Markdown (after Mitchell et al., 2019, Model cards for model reporting).

    `burst_test` is the evaluation of the test images after burst aggregation, `calibration` the calibration error
    without temperature scaling, and the temperature. `weights` is the weights file in the settings, if any. With
    `folds`, the metrics are those of cross-validation over all groups; `caveats` are sentences shown with them.
    `labelled_by_people` counts the images whose label is a decision of a person in review, and not that of the source.
    """
    weaknesses = "\n".join(f"- {text}" for text in _weaknesses(counts, test, reviews, classes_of_interest, folds))
    metrics = "".join(f"- {text}\n" for text in caveats) + ("\n" if caveats else "")
    metrics += _describe_metrics(test, burst_test, calibration)
    return f"""# {name}

## Intended use

Predicts which of these labels a camera-trap image has: {", ".join(test.classes)}. It is intended for images of
the stations it was trained on, and to select the images that need review. Classes of interest:
{", ".join(classes_of_interest) or "none"}.

Not intended for: labels it was not trained on (every image gets one of the above), other cameras or stations
without a new evaluation, and decisions about single animals without review by a person.

## Model

{_describe_model(backbone, weights)}
- Classifier: {classifier}

## Data

{_describe_data(counts, labelled_by_people)}

## Known weaknesses

{weaknesses}

## Review

```
{review_table(reviews, folds)}
```

## {method_name(folds).capitalize()}

{metrics}
"""


def review_table(reviews: Sequence[OperatingPointResult], folds: int = 0) -> str:
    """Return review share and recall of each operating point, and those that score does not use, as a table."""
    if not reviews:
        return "No held-out image has a class of interest, so there is no operating point."
    measured = "by cross-validation" if folds else "on test"
    rows = [["class", "target recall", "of its", "review share", f"recall {measured}", "chosen on", ""]]
    for review in drop_redundant_units(reviews):
        point = review.point
        units = f"{point.units:,} {point.unit}{'s' if point.units > 1 else ''}"
        recall = f"{review.recall.format(2)} of {review.units:,}"
        target = [truncate(point.label), f"{point.recall:.0%}", f"{point.unit}s"]
        rows.append([*target, review.share.format(2), recall, units, "" if point.is_reliable else _why_unused(point)])
    return "\n".join(align_columns(rows))


def _why_unused(point: OperatingPoint) -> str:
    return f"too few groups ({point.groups:,} of {point.min_groups:,}): not used"


def _describe_metrics(test: Evaluation, burst_test: Evaluation, calibration: tuple[float, float]) -> str:
    return f"""```
{text_table(test)}
```

After burst aggregation: accuracy {burst_test.metrics["accuracy"].format()}, balanced accuracy
{burst_test.metrics["balanced_accuracy"].format()}.

Calibration error {calibration[0]:.3f} before, and {test.metrics["calibration_error"].format()} after temperature
scaling (temperature {calibration[1]:.3g})."""


def _describe_data(counts: Counts, labelled_by_people: int) -> str:
    images = sum(split_size(counts, split) for split in SPLITS)
    labels = f"{images - labelled_by_people:,} from the source, {labelled_by_people:,} from people in review"
    totals = ", ".join(f"{split_size(counts, split):,} {split}" for split in SPLITS)
    rows = [["class", *SPLITS]]
    for label, by_split in counts.items():
        rows.append([truncate(label), *("{:,} ({:,})".format(*by_split.get(split, (0, 0))) for split in SPLITS)])
    table = "\n".join(align_columns(rows))
    return f"""Images: {totals}; split by group, so that no encounter is in two splits.
Labels: {labels}. Images (groups) per class:

```
{table}
```"""


def _weaknesses(
    counts: Counts,
    test: Evaluation,
    reviews: Sequence[OperatingPointResult],
    classes_of_interest: Sequence[str],
    folds: int,
) -> Iterator[str]:
    yield "The metrics hold for these stations and seasons only: label some images of others and evaluate again."
    if not test.is_grouped:
        yield "Every test image is its own group. If the data contains bursts, the metrics are too optimistic."
    for label, by_split in counts.items():
        in_all = {"all": (0, sum(groups for _, groups in by_split.values()))}
        splits = in_all if folds else {split: by_split.get(split, (0, 0)) for split in ("train", "test")}
        few = [f"{groups} in {split}" for split, (_, groups) in splits.items() if groups < FEW_GROUPS]
        if few:
            yield f"Few groups of {truncate(label)}: {', '.join(few)}. Its metrics may change a lot with more."
    for recall in TARGET_RECALLS:
        used = {item.point.label for item in reviews if item.point.recall == recall and item.point.is_reliable}
        if unused := ", ".join(truncate(label) for label in classes_of_interest if label not in used):
            yield f"Too few groups were held out to dismiss images at recall {recall:.0%}: {unused}."
    per_class = test.per_class.items()
    recalls = [(metrics.recall.value, label) for label, metrics in per_class if metrics.recall.value is not None]
    if recalls:
        _, label = min(recalls)
        yield f"Lowest recall: {truncate(label)}, {test.per_class[label].recall.format(2)}."
    for worst in top_confusions(test, 1):
        yield (
            f"Most frequent confusion: {truncate(worst.truth)} predicted as {truncate(worst.prediction)}, "
            f"{worst.count:,} images, {worst.share:.0%} of its class."
        )


def _describe_model(backbone: str, weights: str | None) -> str:
    """Return backbone, licence and preprocessing of a feature id: name@SHA-256 digits/preprocessing[/fast]."""
    network, _, rest = backbone.partition("@")
    digits, _, preprocessing = rest.partition("/")
    licence = ARCHITECTURES[network].licence if network in ARCHITECTURES else "unknown"
    if weights:
        licence = f"see the provider of {PurePath(weights).name}"
    return f"""- Backbone: {network}, weights with SHA-256 {digits}...
- Licence of the weights: {licence}
- Preprocessing: {preprocessing} (resize mode, side in pixels, interpolation; ImageNet's mean and std unless named)"""
