"""Measure the loop of reviewing: train on 40 labelled bursts, review 60 by keyboard in Chromium, train again.

    python benchmarks/review_loop.py [--seeds 5] [--backbone irbis_tiny]

On the sample set of `irbis demo`, with the commands `irbis ingest`, `featurize`, `train`, `suggest` and `review`, each
in a process of its own, and the page in Chromium (needs `irbis[review]`, playwright and Chromium). The labels file has
the labels of 40 random bursts, and of all bursts of the test split. The simulated reviewer knows the true labels and
presses one key for each burst: of the 60 that `irbis suggest` chose, or in a workspace of its own of 60 random ones.
Each seed has its own split and its own 40 bursts. Prints the balanced accuracy on the images of the test split, means
over the seeds with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FIRST, MORE = 40, 60  # bursts
SEED = 7  # of the sample set of `irbis demo`
FRACTIONS = (0.7, 0.1, 0.2)  # train.fractions


@dataclass(frozen=True)
class Burst:
    """A burst of the sample set; `contents` are the hashes of its images, by path below the folder of images."""

    id: str
    group: str
    label: str
    contents: dict[str, str]


def run(workspace: Path, *words: str) -> str:
    """Run a command of irbis and return its output. Raises CalledProcessError."""
    command = [sys.executable, "-m", "pipelines.cli", *words, "--workspace", str(workspace)]
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def read_bursts(workspace: Path, folder: Path, labels: dict[str, str]) -> list[Burst]:
    """Return the bursts of a workspace in the order of their ids, without the faulty files."""
    from deltalake import DeltaTable

    table = DeltaTable(str(workspace / "tables" / "images"))
    rows = table.to_pyarrow_table(columns=["path", "content_hash", "burst_id", "group_id", "failure"]).to_pylist()
    found: dict[str, Burst] = {}
    for row in rows:
        path = row["path"].partition(f"{folder}/")[2]
        if row["failure"] is None and path in labels:
            burst = Burst(row["burst_id"], row["group_id"], labels[path], {})
            found.setdefault(burst.id, burst).contents[path] = row["content_hash"]
    return [found[name] for name in sorted(found)]


def write_labels(target: Path, bursts: list[Burst]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows((path, burst.label) for burst in bursts for path in burst.contents)


def suggest_at_random(workspace: Path, bursts: list[Burst]) -> None:
    """Write the file that `irbis suggest` writes, with bursts that no model chose."""
    items = [
        {"content_hash": next(iter(burst.contents.values())), "reason": "random", "is_model_chosen": False}
        for burst in bursts
    ]
    target = workspace / "review" / "suggestions.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"items": items}))


def review(browser: Any, workspace: Path, bursts: dict[str, Burst], count: int) -> set[str]:
    """Decide about the first `count` bursts of the queue `suggest` by keyboard; return their ids."""
    from tests.review.browser import current, open_page, press, server, wait_for, wait_until_sent

    seen: list[str] = []
    log = workspace.with_suffix(f".{len(list(workspace.parent.iterdir()))}.log")
    with server(workspace, log, "--queue", "suggest", "--reviewer", "simulated") as running:
        page = open_page(browser, running.url)
        keys = json.loads(page.locator("body").get_attribute("data-config"))
        for _ in range(count):
            wait_for(page, "document.body.dataset.end === 'false'")
            seen.append(current(page))
            label = bursts[seen[-1]].label
            press(page, "e" if label == keys["blank"] else keys["keys"][label])
        wait_until_sent(page)
        assert page.faults == [], page.faults
        page.context.close()
        assert running.end(signal.SIGTERM) == 143, running.output()
    assert len(set(seen)) == count
    return set(seen)


def accuracy(workspace: Path) -> float:
    """Return the balanced accuracy on the test split of the version that was trained last."""
    query = "SELECT value FROM model_version_tags WHERE key = ? ORDER BY CAST(version AS INTEGER) DESC LIMIT 1"
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        (metrics,), (split,) = (connection.execute(query, (f"irbis.{key}",)).fetchone() for key in ("metrics", "split"))
    assert not json.loads(split).get("moved"), "test groups were trained on: the test split is not the same"
    return float(json.loads(metrics)["balanced_accuracy"])


def measure(browser: Any, base: Path, images: Path, bursts: list[Burst], seed: int) -> Iterator[tuple[str, float]]:
    """Yield what was labelled and the balanced accuracy."""
    from pipelines.evaluation.split import find_split

    salt = f"loop {seed}"
    is_test = np.array([find_split(burst.group, FRACTIONS, salt) == "test" for burst in bursts])
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~is_test)).tolist()
    labels = base.parent / f"labels-{seed}.csv"
    write_labels(labels, [bursts[i] for i in (*order[:FIRST], *np.flatnonzero(is_test))])
    source = ("--images", str(images), "--labels", str(labels), "--set", f"train.split_salt={salt}")
    by_id = {burst.id: burst for burst in bursts}
    for name in ("suggested", "random"):
        workspace = base.with_name(f"{name}-{seed}")
        shutil.copytree(base, workspace)
        run(workspace, "ingest", *source)
        if name == "suggested":
            run(workspace, "train", *source)
            yield f"{FIRST} bursts", accuracy(workspace)
            run(workspace, "suggest", "--count", str(MORE))
        else:
            suggest_at_random(workspace, [bursts[i] for i in order[FIRST : FIRST + MORE]])
        seen = review(browser, workspace, by_id, MORE)
        assert not seen & {bursts[i].id for i in (*order[:FIRST], *np.flatnonzero(is_test))}
        run(workspace, "train", *source)
        yield f"and {MORE} {name}", accuracy(workspace)
        shutil.rmtree(workspace)


def format_mean(values: list[float]) -> str:
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} ({np.mean(values) - half:.3f}-{np.mean(values) + half:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="irbis_tiny")
    options = parser.parse_args()
    from pipelines.demo.sample_set import IMAGES, render_sample_set
    from pipelines.demo.schedule import plan_frames
    from tests.review.browser import chromium

    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(scratch).resolve()
        os.environ["IRBIS_RUNS__HISTORY_DIR"] = str(folder / "history")
        os.environ["IRBIS_SOURCES__STATION"] = "folder:1"
        os.environ["IRBIS_FEATURIZE__BACKBONE"] = options.backbone
        images = render_sample_set(folder / "sample", seed=SEED, workers=2).images_folder
        truth = {frame.path: frame.label for frame in plan_frames(IMAGES, SEED)}
        base = folder / "base"
        run(base, "ingest", "--images", str(images), "--labels", "none")
        run(base, "featurize")
        bursts = read_bursts(base, images, truth)
        values: dict[str, list[float]] = {}
        for seed in range(options.seeds):
            for name, value in measure(browser, base, images, bursts, seed):
                values.setdefault(name, []).append(value)
                print(f"seed {seed}, {name}: {value:.3f}", flush=True)
        for name, column in values.items():
            print(f"| {name} | {format_mean(column)} |")
        for name in (f"{FIRST} bursts", f"and {MORE} random"):
            gains = np.subtract(values[f"and {MORE} suggested"], values[name]).tolist()
            print(f"| suggested minus {name} | {format_mean(gains)} |")


if __name__ == "__main__":
    main()
