"""Compare calibration methods for logistic regression: none, temperature scaling, isotonic regression.

    python benchmarks/calibration.py WORKSPACE [--penalties 0.01 0.03 0.1 1 10] [--exclude human_setup unsure]

WORKSPACE holds the tables images and features; each backbone is evaluated alone, and all of them concatenated. Nested
grouped cross-validation with scikit-learn: within each outer fold, five inner folds choose the penalty by log-loss, and
their held-out predictions fit the calibration. ECE and log-loss (nats) are measured on the outer folds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.evaluation.calibration import apply_temperature, balanced_log_loss, fit_temperature
from pipelines.evaluation.evaluate import evaluate

Floats = NDArray[np.float64]


def read_table(workspace: Path, table: str, columns: list[str]) -> pd.DataFrame:
    files = sorted((workspace / "tables" / table).glob("*.parquet"))
    return pd.concat([pd.read_parquet(file, columns=columns) for file in files])


def load_sets(workspace: Path, exclude: list[str]) -> dict[str, pd.DataFrame]:
    """Return content_hash, label, group_id and features by backbone, and for all of them concatenated."""
    images = read_table(workspace, "images", ["content_hash", "label", "group_id"])
    labels = images.groupby("content_hash").label.nunique()
    images = images[images.content_hash.isin(labels[labels == 1].index) & ~images.label.isin(exclude)]
    images = images.drop_duplicates("content_hash")
    features = read_table(workspace, "features", ["content_hash", "backbone", "features"]).dropna()
    sets = {name: images.merge(rows, on="content_hash") for name, rows in features.groupby("backbone")}
    wide = features.pivot(index="content_hash", columns="backbone", values="features").dropna()
    if len(sets) > 1:
        joined = pd.DataFrame(
            {"content_hash": wide.index, "features": [np.concatenate(row) for row in wide.to_numpy()]}
        )
        sets["all joined"] = images.merge(joined, on="content_hash")
    return sets


def fit(x: Floats, y: NDArray[np.int64], penalty: float) -> Any:
    regression = LogisticRegression(C=1 / (len(y) * penalty), class_weight="balanced", max_iter=200, tol=1e-3)
    return make_pipeline(StandardScaler(), regression).fit(x, y)


def folds(x: Floats, y: NDArray[np.int64], groups: Any, seed: int) -> Any:
    return StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(x, y, groups)


def cross_validate(x: Floats, y: NDArray[np.int64], groups: Any, penalties: list[float]) -> dict[str, Floats]:
    """Return the probabilities of every image by calibration method, from models not trained on its group."""
    results = {name: np.zeros((len(y), y.max() + 1)) for name in ("as fitted", "temperature", "isotonic")}
    for train, test in folds(x, y, groups, 0):
        held = {penalty: np.zeros((len(train), y.max() + 1)) for penalty in penalties}
        for penalty, inner in held.items():
            for a, b in folds(x[train], y[train], groups[train], 1):
                inner[b] = fit(x[train][a], y[train][a], penalty).predict_proba(x[train][b])
        best = min(held, key=lambda penalty: balanced_log_loss(y[train], held[penalty]))
        inner, raw = held[best], fit(x[train], y[train], best).predict_proba(x[test])
        groups_count = len(np.unique(groups[train]))
        temperature = fit_temperature(y[train], lambda t, inner=inner: apply_temperature(inner, t), groups_count)
        isotonic = IsotonicRegression(out_of_bounds="clip", y_min=1e-3, y_max=1 - 1e-3)
        columns = [isotonic.fit(inner[:, k], y[train] == k).predict(raw[:, k]) for k in range(raw.shape[1])]
        scores = np.stack(columns, axis=1)
        results["as fitted"][test], results["temperature"][test] = raw, apply_temperature(raw, temperature)
        results["isotonic"][test] = scores / scores.sum(axis=1, keepdims=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--penalties", nargs="+", type=float, default=[0.01, 0.03, 0.1, 1, 10])
    parser.add_argument("--exclude", nargs="+", default=[])
    options = parser.parse_args()
    print("| backbone | calibration | accuracy | balanced accuracy | ECE | log-loss |\n|---|---|---|---|---|---|")
    for name, rows in load_sets(options.workspace, options.exclude).items():
        y, classes = pd.factorize(rows.label, sort=True)
        groups = rows.group_id.to_numpy()
        for method, probabilities in cross_validate(
            np.stack(rows.features.to_list()), y, groups, options.penalties
        ).items():
            metrics = evaluate(
                rows.label.tolist(), probabilities, list(classes), groups.tolist(), bootstrap=1000
            ).metrics
            figures = [metrics[key].format() for key in ("accuracy", "balanced_accuracy")]
            figures += [f"{metrics[key].value:.3f}" for key in ("calibration_error", "log_loss")]
            print(f"| {name.partition('@')[0]} | {method} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
