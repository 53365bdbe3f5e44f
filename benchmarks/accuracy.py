"""Print what each step of the recipe brings, on image sets of one's own: grouped, with intervals.

    python benchmarks/accuracy.py FOLDER --weights FOLDER [--sets trashnet cameratrap_peru_sdzg cats_dogs_leopard]

FOLDER holds the sets, WEIGHTS files whose names begin with those of the backbones. Nested cross-validation: the groups
are dealt to five folds; each is asked about by a model that was trained, tuned and calibrated on the other four alone,
as `irbis train` does it. So every image is a test image once. "Search" takes in each fold the recipe that did best
within the other four. Beside it stands what the same recipe claims where frames, not groups, are dealt.

With --workspace an interrupted comparison goes on where it was; what is kept there is of the code and images of then.
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
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.classifiers.predict import predict_labelled
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.evaluation.folds import assign_folds
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy, measure_points
from pipelines.spark.session import get_session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train.stage import train
from pipelines.stages.train.training_data import training_rows
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
CLAIMED = ("squeezenet1_1", "mobilenet_v2")  # recipes that a random split is asked about too


@dataclass(frozen=True)
class Part:
    """Hold what one fold gave: what was trained on the others, and what it says of the fold."""

    decision: ReviewPolicy
    inner: float  # balanced accuracy within the other folds
    said: PredictionSet


def parts_of(rows: DataFrame, settings: Settings, unit: str) -> Iterator[Part]:
    """Train without each fold in turn, and ask about it."""
    folded = assign_folds(rows, OUTER, "outer", unit).cache()
    for fold in range(OUTER):
        split = folded.withColumn("split", F.when(F.col("fold") == fold, "test").otherwise("train")).drop("fold")
        trained = train(split, settings)
        said = predict_labelled(trained.model, split.where("split = 'test'"), trained.classes)
        assert said is not None and trained.validation is not None
        inner = trained.validation.metrics["balanced_accuracy"].value or 0.0
        yield Part(trained.policy, inner, said.average_views(trained.policy.average_flip))
    folded.unpersist()


def kept_parts(place: Path, rows: DataFrame, settings: Settings, unit: str) -> list[Part]:
    """Read the parts from a file, or make them and write it: an interrupted comparison goes on where it was."""
    if place.exists():
        return list(pickle.loads(place.read_bytes()))
    parts = list(parts_of(rows, settings, unit))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(pickle.dumps(parts))
    return parts


def joined(parts: list[Part], voted: bool) -> PredictionSet:
    """Put the answers of all folds together, after the vote that was chosen without each."""
    said = [part.said.aggregate_bursts(part.decision.max_weight) if voted else part.said for part in parts]
    return PredictionSet(
        [label for each in said for label in each.labels],
        np.concatenate([each.probabilities for each in said]),
        said[0].classes,
        [burst for each in said for burst in each.bursts],
        [group for each in said for group in each.groups],
    )


def reviews_of(parts: list[Part], label: str) -> list[OperatingPointResult]:
    """Give what the points of the first fold cost and find on all, each image held to the threshold of its own fold.

    Scores are divided by their fold's threshold, so that 1 is every fold's.
    """
    found = []
    for unit in ("image", "burst", "group"):
        for recall in (0.99, 0.95):
            points = [
                next(
                    (p for p in part.decision.operating_points if (p.label, p.unit, p.recall) == (label, unit, recall)),
                    None,
                )
                for part in parts
            ]
            if not all(points):
                continue
            whole = joined(parts, voted=True)
            ranked = whole.class_scores(label)
            thresholds = np.repeat([p.threshold for p in points if p], [len(part.said.labels) for part in parts])
            scaled = type(ranked)(
                ranked.is_class, ranked.scores / thresholds, ranked.bursts, ranked.groups, ranked.group_count
            )
            point = type(points[0])(label, unit, recall, 1.0 - 1e-9, points[0].units, points[0].groups)
            found += measure_points([(point, scaled)])
    return found


def told(name: str, answers: PredictionSet) -> str:
    found = answers.evaluate(bootstrap=1000).metrics
    cells = [found[key].format() for key in ("accuracy", "balanced_accuracy")]
    return f"| {name} | {' | '.join(cells)} | {found['calibration_error'].value:.3f} |"


def measure_set(
    spark: SparkSession, folder: Path, name: str, recipes: Mapping[str, Any], fixed: dict[str, Any]
) -> None:
    """Ingest and featurize what the recipes need, then print a line for each."""
    print(f"\n### {name}\n\n| | accuracy | balanced accuracy | ECE |\n|---|---|---|---|", flush=True)
    labels = folder / name / "labels.csv"
    fixed = {
        "sources.images": str(folder / name),
        "sources.labels": str(labels) if labels.exists() else "folder",
        **fixed,
    }
    kept: dict[str, list[Part]] = {}
    for recipe, changed in recipes.items():
        settings = load_settings(None, {**fixed, **changed})
        if not kept:
            ingest.run(spark, settings)
        featurize.run(spark, settings)
        rows = training_rows(Tables.of(spark, settings), settings, feature_id(settings)).drop("split").cache()
        place = Path(settings.workspace) / "parts"
        kept[recipe] = kept_parts(place / f"{recipe}.pickle", rows, settings, "group_id")
        print(told(recipe, joined(kept[recipe], voted=False)), flush=True)
        few = rows.select("group_id").distinct().count() < rows.count()
        if few:
            print(told(f"{recipe}, burst vote", joined(kept[recipe], voted=True)), flush=True)
        if few and recipe in CLAIMED:
            claimed = kept_parts(place / f"{recipe}, claimed.pickle", rows, settings, "content_hash")
            print(told(f"{recipe}, as a random split of frames claims it", joined(claimed, voted=False)), flush=True)
        rows.unpersist()
    chosen = [max(parts, key=lambda part: part.inner) for parts in zip(*kept.values(), strict=True)]
    print(told("search", joined(chosen, voted=False)), flush=True)
    print(told("search, burst vote", joined(chosen, voted=True)), flush=True)
    for label in chosen[0].decision.classes_of_interest:
        for review in reviews_of(chosen, label):
            point = review.point
            print(
                f"{label}: recall {point.recall} of {point.unit}s: review share {review.share.format()}, "
                f"found {review.recall.format()} of {review.units}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--workspace", type=Path)
    chosen = parser.parse_args()
    recipes = {name: RECIPES[name] for name in chosen.recipes}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.sets:
            place = (chosen.workspace or Path(scratch)) / name
            fixed = {
                "workspace": str(place),
                "featurize.weights_cache": str(chosen.weights),
                **SETS[name],
            }
            wanted = (
                "lightgbm" if any("train.classifier" in each for each in recipes.values()) else "logistic_regression"
            )
            spark = get_session(load_settings(None, {**fixed, "train.classifier": wanted}))
            measure_set(spark, chosen.folder, name, recipes, fixed)


if __name__ == "__main__":
    main()
