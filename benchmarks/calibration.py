"""Print what calibration does to a logistic regression's probabilities: none, a temperature, isotonic regression.

    python benchmarks/calibration.py WORKSPACE [--penalties 0.01 0.03 0.1 1 10] [--exclude human_setup unsure]

WORKSPACE holds the tables images and features; every backbone in it is taken alone, and all of them joined. Nested
grouped cross-validation with scikit-learn: within each outer fold five inner ones choose the penalty by log-loss, and
what they held out fits the calibration. ECE and log-loss (nats) are of the outer folds.
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
from pipelines.evaluation.metrics import evaluate

Floats = NDArray[np.float64]


def read(workspace: Path, table: str, columns: list[str]) -> pd.DataFrame:
    files = sorted((workspace / "tables" / table).glob("*.parquet"))
    return pd.concat([pd.read_parquet(file, columns=columns) for file in files])


def sets(workspace: Path, exclude: list[str]) -> dict[str, pd.DataFrame]:
    """Give content_hash, label, group_id, features of each backbone, and of all of them side by side."""
    images = read(workspace, "images", ["content_hash", "label", "group_id"])
    labels = images.groupby("content_hash").label.nunique()
    images = images[images.content_hash.isin(labels[labels == 1].index) & ~images.label.isin(exclude)]
    images = images.drop_duplicates("content_hash")
    features = read(workspace, "features", ["content_hash", "backbone", "features"]).dropna()
    found = {name: images.merge(rows, on="content_hash") for name, rows in features.groupby("backbone")}
    wide = features.pivot(index="content_hash", columns="backbone", values="features").dropna()
    if len(found) > 1:
        joined = pd.DataFrame(
            {"content_hash": wide.index, "features": [np.concatenate(row) for row in wide.to_numpy()]}
        )
        found["all joined"] = images.merge(joined, on="content_hash")
    return found


def fitted(x: Floats, y: NDArray[np.int64], penalty: float) -> Any:
    regression = LogisticRegression(C=1 / (len(y) * penalty), class_weight="balanced", max_iter=200, tol=1e-3)
    return make_pipeline(StandardScaler(), regression).fit(x, y)


def folds(x: Floats, y: NDArray[np.int64], groups: Any, seed: int) -> Any:
    return StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(x, y, groups)


def nested(x: Floats, y: NDArray[np.int64], groups: Any, penalties: list[float]) -> dict[str, Floats]:
    """Give the probabilities of every image by how they were calibrated, none by a model that has seen its group."""
    found = {name: np.zeros((len(y), y.max() + 1)) for name in ("as fitted", "temperature", "isotonic")}
    for train, test in folds(x, y, groups, 0):
        held = {penalty: np.zeros((len(train), y.max() + 1)) for penalty in penalties}
        for penalty, said in held.items():
            for a, b in folds(x[train], y[train], groups[train], 1):
                said[b] = fitted(x[train][a], y[train][a], penalty).predict_proba(x[train][b])
        best = min(held, key=lambda penalty: balanced_log_loss(y[train], held[penalty]))
        said, raw = held[best], fitted(x[train], y[train], best).predict_proba(x[test])
        evidence = len(np.unique(groups[train]))
        temperature = fit_temperature(y[train], lambda t, said=said: apply_temperature(said, t), evidence)
        isotonic = IsotonicRegression(out_of_bounds="clip", y_min=1e-3, y_max=1 - 1e-3)
        columns = [isotonic.fit(said[:, k], y[train] == k).predict(raw[:, k]) for k in range(raw.shape[1])]
        each = np.stack(columns, axis=1)
        found["as fitted"][test], found["temperature"][test] = raw, apply_temperature(raw, temperature)
        found["isotonic"][test] = each / each.sum(axis=1, keepdims=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--penalties", nargs="+", type=float, default=[0.01, 0.03, 0.1, 1, 10])
    parser.add_argument("--exclude", nargs="+", default=[])
    chosen = parser.parse_args()
    print("| backbone | calibration | accuracy | balanced accuracy | ECE | log-loss |\n|---|---|---|---|---|---|")
    for name, rows in sets(chosen.workspace, chosen.exclude).items():
        y, classes = pd.factorize(rows.label, sort=True)
        groups = rows.group_id.to_numpy()
        for how, said in nested(np.stack(rows.features.to_list()), y, groups, chosen.penalties).items():
            metrics = evaluate(rows.label.tolist(), said, list(classes), groups.tolist(), bootstrap=1000).metrics
            figures = [metrics[key].format() for key in ("accuracy", "balanced_accuracy")]
            figures += [f"{metrics[key].value:.3f}" for key in ("calibration_error", "log_loss")]
            print(f"| {name.partition('@')[0]} | {how} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
