"""Compare levers for static cameras on labelled sets: views, backbones, flipped copies, features of the burst.

    python benchmarks/levers DATA --cache FOLDER [--sets NAME ...] [--levers NAME ...] [--backbones NAME ...]

DATA holds the sets and, in backbones, NAME_imagenet.safetensors. Features and predictions are computed once and kept in
the cache: empty it after a change of the code. A backbone may be several joined by +. Each lever is evaluated by nested
grouped cross-validation with the pipeline of `irbis train`, on several deals of the groups into folds, and compared
with the first lever of the list: balanced accuracy of images by their own prediction, of images after the burst vote,
and of bursts; balanced log-loss after the vote; and the review share of the class of interest. All choices (penalty,
temperature, vote, threshold, `auto`) are made without the fold. Intervals are bootstraps over groups, each drawn with
all its deals.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded: threads slow small problems down

import argparse
import pickle
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from features import STATISTICS, VIEWS, add_burst_features, load_features
from labelled_sets import SETS, LabelledSet, load_set, without_rare_classes
from measure import (
    Fold,
    balanced_accuracy,
    by_burst,
    choose_folds,
    compare,
    compare_log_loss,
    cross_validate,
    held_out,
    measure_reviews,
    training_set,
)

from pipelines.config.loader import load_settings
from pipelines.evaluation.results import Interval

HEAD = (
    "set, groups, backbone | lever | images, own | images, voted | lead | bursts | lead | log-loss, difference"
    " | review share at .99 (recall) | at .95 (recall) | s"
)


@dataclass(frozen=True)
class Lever:
    """A way to make the features of an image. `choose_from`: the lever that is best within the other folds."""

    views: tuple[str, ...] = ("whole",)
    burst: str = "none"
    flip: bool = False
    choose_from: tuple[str, ...] = ()


LEVERS = {
    "whole": Lever(),
    "burst mean": Lever(burst="mean"),
    "burst mean and maximum": Lever(burst="mean_max"),
    "burst mean alone": Lever(burst="only_mean"),
    "auto": Lever(choose_from=("whole", "burst mean", "burst mean and maximum")),
    "motion crop": Lever(("motion",)),
    "whole and motion crop": Lever(("whole", "motion")),
    "whole, motion crop and statistics": Lever(("whole", "motion", STATISTICS)),
    "whole and motion statistics": Lever(("whole", STATISTICS)),
    "whole and motion crop, burst mean": Lever(("whole", "motion"), burst="mean"),
    "flipped": Lever(flip=True),
    "flipped, burst mean": Lever(burst="mean", flip=True),
}


@dataclass(frozen=True)
class Comparison:
    """One set, grouped in one way, with one backbone."""

    images: LabelledSet
    grouping: str
    backbone: str
    deals: int
    data: Path
    cache: Path

    def load_or_evaluate(self, lever: Lever, classifier: str) -> list[Fold]:
        """Return the folds of all deals, from the cache if it has them."""
        columns = ["path", "label", "burst_id", self.grouping]
        keys = self.images.rows[columns].to_csv(), self.images.crop_bottom, self.backbone, classifier, lever
        folds = []
        for deal in range(self.deals):
            file = self.cache / "folds" / f"{sha256(repr((*keys, deal)).encode()).hexdigest()[:16]}.pickle"
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(pickle.dumps(self._evaluate(lever, classifier, deal)))
            folds += pickle.loads(file.read_bytes())
        return folds

    def _evaluate(self, lever: Lever, classifier: str, deal: int) -> list[Fold]:
        backbones = self.backbone.split("+")
        views = [
            add_burst_features(
                load_features(self.images, lever.views, backbones, flip, self.data, self.cache),
                self.images.rows.burst_id.tolist(),
                lever.burst,
            )
            for flip in ((False, True) if lever.flip else (False,))
        ]
        rows = training_set(self.images, self.grouping, views)
        settings = load_settings(None, {"train.classifier": classifier}).train
        return cross_validate(rows, settings, deal)

    def row(self, name: str, folds: list[Fold], first: list[Fold], seconds: float) -> str:
        """Return the row of a lever in the Markdown table."""
        ours, theirs = held_out(folds), held_out(first)
        voted, baseline = ours.burst_predictions, theirs.burst_predictions
        bursts = by_burst(voted)
        leads = [compare(voted, baseline).difference, compare(bursts, by_burst(baseline)).difference]
        reviews = []
        if label := self.images.class_of_interest:
            for result in measure_reviews(ours, label):
                reviews.append(f"{result.share.format()} ({result.recall.value:.3f})")
        cells = [
            f"{self.images.name}, {self.grouping}, {self.backbone}",
            name,
            f"{balanced_accuracy(ours.predictions):.3f}",
            voted.evaluate(1000).metrics["balanced_accuracy"].format(),
            _format_lead(leads[0]),
            f"{balanced_accuracy(bursts):.3f}",
            _format_lead(leads[1]),
            f"{voted.log_loss:.3f}, {_format_lead(compare_log_loss(voted, baseline))}",
            *(reviews or ["", ""]),
            f"{seconds:.0f}",
        ]
        return f"| {' | '.join(cells)} |"


def measure(comparison: Comparison, names: list[str], classifier: str) -> None:
    """Print the row of each lever."""
    folds: dict[str, list[Fold]] = {}
    for name in names:
        start, lever = time.perf_counter(), LEVERS[name]
        if lever.choose_from:
            folds[name] = choose_folds([folds[each] for each in lever.choose_from])
        else:
            folds[name] = comparison.load_or_evaluate(lever, classifier)
        print(comparison.row(name, folds[name], folds[names[0]], time.perf_counter() - start), flush=True)


def _format_lead(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--levers", nargs="+", default=list(LEVERS)[:5])
    parser.add_argument("--backbones", nargs="+", default=["squeezenet1_1"])
    parser.add_argument("--deals", type=int, default=3)
    parser.add_argument("--classifier", default="logistic_regression")
    options = parser.parse_args()
    for name in options.levers:
        lever = LEVERS.get(name)
        if lever is None or set(lever.choose_from) - set(options.levers) or set(lever.views) - {*VIEWS, STATISTICS}:
            parser.error(f"--levers {name}: known are {', '.join(LEVERS)}; auto needs those that it chooses from")
    print(f"| {HEAD} |\n{'|---' * (HEAD.count('|') + 1)}|", flush=True)
    for name in options.sets:
        images = load_set(name, options.data, options.cache)
        images = replace(images, rows=without_rare_classes(images.rows))
        for backbone in options.backbones:
            for grouping in images.groupings:
                comparison = Comparison(images, grouping, backbone, options.deals, options.data, options.cache)
                measure(comparison, options.levers, options.classifier)


if __name__ == "__main__":
    main()
