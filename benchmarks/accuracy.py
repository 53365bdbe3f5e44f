"""Print the accuracy of each recipe on image sets: split by group, with confidence intervals.

    python benchmarks/accuracy.py FOLDER --weights FOLDER [--sets trashnet cameratrap_peru_sdzg cats_dogs_leopard]

FOLDER holds the sets, WEIGHTS weights files whose names start with the backbone. Nested cross-validation: groups are
split into five folds; each is predicted by a model that was trained, tuned and calibrated on the other four, as
`irbis train` does it. So every image is a test image once. "search" uses in each fold the recipe that did best within
the other four. For comparison, some recipes are also evaluated with a random split of frames instead of groups.

With --workspace an interrupted comparison resumes; cached results are those of the code and images at that time.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy, measure_points
from pipelines.spark.session import get_session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train.stage import train_selected
from pipelines.stages.train.training_data import select_rows, training_rows
from pipelines.workspace.tables import Tables

OUTER = 5
BOTH = "squeezenet1_1+mobilenet_v2"
SETS: dict[str, dict[str, Any]] = {
    "trashnet": {"train.cv_folds": 3},  # half the time of five
    "cameratrap_peru_sdzg": {"images.crop_bottom": 0.07, "train.exclude_labels": ["human_setup", "unsure"]},
    "cats_dogs_leopard": {"train.classes_of_interest": ["amur_leopard"]},
}
RECIPES: dict[str, dict[str, Any]] = {
    "raw pixels": {"featurize.backbone": "raw_pixels"},
    "squeezenet1_1": {"featurize.backbone": "squeezenet1_1"},
    "squeezenet1_1, flipped": {"featurize.backbone": "squeezenet1_1", "featurize.horizontal_flip": True},
    "mobilenet_v2": {"featurize.backbone": "mobilenet_v2"},
    "mobilenet_v2, flipped": {"featurize.backbone": "mobilenet_v2", "featurize.horizontal_flip": True},
    "both": {"featurize.backbone": BOTH},
    "both, flipped": {"featurize.backbone": BOTH, "featurize.horizontal_flip": True},
    "both, LightGBM": {"featurize.backbone": BOTH, "train.classifier": "lightgbm"},
    "squeezenet1_1, random forest": {"featurize.backbone": "squeezenet1_1", "train.classifier": "random_forest"},
}
RANDOM_SPLIT = ("squeezenet1_1", "mobilenet_v2")  # recipes that are also evaluated with a random split


@dataclass(frozen=True)
class FoldResult:
    """Result of one fold: the policy chosen on the other folds, and the predictions for this one."""

    policy: ReviewPolicy
    inner: float  # balanced accuracy within the other folds
    predictions: PredictionSet


def evaluate_folds(rows: TrainingSet, settings: Settings, unit: str) -> Iterator[FoldResult]:
    """Yield the result of each fold in turn, trained on the others."""
    fold_of = rows.with_folds(OUTER, "outer", unit).folds
    for fold in range(OUTER):
        split = rows.assign(split=np.where(fold_of == fold, "test", "train"))
        trained = train_selected(select_rows(split, settings.train), settings)
        predictions = trained.model.predict(split.in_split("test"), trained.classes)
        assert predictions is not None and trained.validation is not None
        inner = trained.validation.metrics["balanced_accuracy"].value or 0.0
        yield FoldResult(trained.policy, inner, predictions.average_views(trained.policy.average_flip))


def load_or_evaluate(cache: Path, rows: TrainingSet, settings: Settings, unit: str) -> list[FoldResult]:
    """Return the fold results from the cache file, or compute and cache them."""
    if cache.exists():
        return list(pickle.loads(cache.read_bytes()))
    parts = list(evaluate_folds(rows, settings, unit))
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(pickle.dumps(parts))
    return parts


def concatenate(parts: list[FoldResult], by_burst: bool) -> PredictionSet:
    """Return the predictions of all folds, optionally after each fold's burst aggregation."""
    sets = [
        part.predictions.aggregate_bursts(part.policy.max_weight) if by_burst else part.predictions for part in parts
    ]
    return PredictionSet.concatenate(sets)


def measure_reviews(parts: list[FoldResult], label: str) -> list[OperatingPointResult]:
    """Return review share and recall over all folds, with each fold's own threshold.

    Scores are divided by their fold's threshold, so that the common threshold is 1.
    """
    results = []
    for unit in ("image", "burst", "group"):
        for recall in (0.99, 0.95):
            points = [
                next(
                    (p for p in part.policy.operating_points if (p.label, p.unit, p.recall) == (label, unit, recall)),
                    None,
                )
                for part in parts
            ]
            if not all(points):
                continue
            whole = concatenate(parts, by_burst=True)
            ranked = whole.class_scores(label)
            thresholds = np.repeat([p.threshold for p in points if p], [len(part.predictions.labels) for part in parts])
            scaled = type(ranked)(
                ranked.is_class, ranked.scores / thresholds, ranked.bursts, ranked.groups, ranked.group_count
            )
            point = type(points[0])(label, unit, recall, 1.0 - 1e-9, points[0].units, points[0].groups)
            results += measure_points([(point, scaled)])
    return results


def table_row(name: str, predictions: PredictionSet) -> str:
    """Return a row of the Markdown table."""
    metrics = predictions.evaluate(bootstrap=1000).metrics
    cells = [metrics[key].format() for key in ("accuracy", "balanced_accuracy")]
    return f"| {name} | {' | '.join(cells)} | {metrics['calibration_error'].value:.3f} |"


def measure_set(
    spark: SparkSession, folder: Path, name: str, recipes: Mapping[str, Any], fixed: dict[str, Any]
) -> None:
    """Ingest and featurize one set, evaluate every recipe, and print a row for each."""
    print(f"\n### {name}\n\n| | accuracy | balanced accuracy | ECE |\n|---|---|---|---|", flush=True)
    labels = folder / name / "labels.csv"
    fixed = {
        "sources.images": str(folder / name),
        "sources.labels": str(labels) if labels.exists() else "folder",
        **fixed,
    }
    results: dict[str, list[FoldResult]] = {}
    for recipe, changed in recipes.items():
        settings = load_settings(None, {**fixed, **changed})
        if not results:
            ingest.run(spark, settings)
        featurize.run(spark, settings)
        rows = TrainingSet.collect(training_rows(Tables.of(spark, settings), settings, feature_id(settings)))
        caches = Path(settings.workspace) / "parts"
        results[recipe] = load_or_evaluate(caches / f"{recipe}.pickle", rows, settings, "group_id")
        print(table_row(recipe, concatenate(results[recipe], by_burst=False)), flush=True)
        has_groups = rows.count_groups() < len(rows)
        if has_groups:
            print(table_row(f"{recipe}, bursts aggregated", concatenate(results[recipe], by_burst=True)), flush=True)
        if has_groups and recipe in RANDOM_SPLIT:
            random = load_or_evaluate(caches / f"{recipe}, random split.pickle", rows, settings, "content_hash")
            print(table_row(f"{recipe}, random split of frames", concatenate(random, by_burst=False)), flush=True)
        rows.store.release()
    best = [max(parts, key=lambda part: part.inner) for parts in zip(*results.values(), strict=True)]
    print(table_row("search", concatenate(best, by_burst=False)), flush=True)
    print(table_row("search, bursts aggregated", concatenate(best, by_burst=True)), flush=True)
    for label in best[0].policy.classes_of_interest:
        for review in measure_reviews(best, label):
            point = review.point
            print(
                f"{label}: target recall {point.recall} of {point.unit}s: review share {review.share.format()}, "
                f"recall {review.recall.format()} of {review.units}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--workspace", type=Path)
    options = parser.parse_args()
    recipes = {name: RECIPES[name] for name in options.recipes}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets:
            workspace = (options.workspace or Path(scratch)) / name
            fixed = {
                "workspace": str(workspace),
                "featurize.weights_cache": str(options.weights),
                **SETS[name],
            }
            classifier = (
                "lightgbm" if any("train.classifier" in each for each in recipes.values()) else "logistic_regression"
            )
            spark = get_session(load_settings(None, {**fixed, "train.classifier": classifier}))
            measure_set(spark, options.folder, name, recipes, fixed)


if __name__ == "__main__":
    main()
