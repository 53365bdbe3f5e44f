"""Compare irbis featurize with what else makes features of images, side by side: `make bench`.

    python benchmarks/featurize DATA [--quick] [--ablation] [--rounds N] [--backbone NAME] [--sets NAME ...]

DATA holds trashnet and cameratrap_peru_sdzg (images in folders) and backbones (NAME_imagenet.safetensors). Every
engine runs in a process of its own, one after the other, in every round; in it a small set makes everything warm, so
that the steady rate is (images - small) / (seconds - seconds of the small set). Figures are medians over the rounds,
with the lowest and the highest, and ratios to the first engine of the same round. A second table counts whole
processes, from the command to the last row. Needs two idle cores or more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import from_start
import images
import pandas as pd
from accuracy import accuracy
from environments import python_of
from memory import Watch
from rounds import output_of, spread_of

from pipelines.engines.quantization.calibration_images import cosine_similarities

HERE = Path(__file__).resolve().parent
# What the sets are made of, how many images of it, how often each; how many of the same kind make everything warm.
SETS = {
    "250": ("trashnet", 250, 1, 60),
    "2527": ("trashnet", 2527, 1, 250),
    "10108": ("trashnet", 2527, 4, 250),
    "peru": ("cameratrap_peru_sdzg", 111, 40, 333),
    "12mp": ("12mp", 200, 1, 24),
}
FROM_START = ("250", "2527", "10108")  # also counted from the command to the last row
LABELLED = ("250", "2527", "12mp")  # the folder is the label, and no image has a copy in another fold
# Name, script, environment, options. The bare loop's are the best that `bare_loop.py --tune` found; see TUNED.
ENGINES: dict[str, tuple[str, str, list[str]]] = {
    "bare loop": ("bare_loop.py", "", ["--batch", "8", "--workers", "0", "--threads", "2", "--compile"]),
    "irbis exact": ("irbis_featurize.py", "", []),
    "irbis fast": ("irbis_featurize.py", "", ["--precision", "fast"]),
    "published": ("published_pattern.py", "", []),
    "Ray Data": ("ray_data.py", "ray", []),
    "Daft": ("daft_embed.py", "daft", []),
}
# What is best for the bare loop on large images, whose decoding wants both cores, and with other backbones; on
# processors where --tune finds other settings: --loop.
TUNED = {"12mp": ["--workers", "2", "--threads", "1"], "mobilenet_v2": ["--batch", "2"]}
# Each step alone on top of the plain form, all together, and all but one.
PLAIN = ["--engine", "torch", "--batch", "64", "--plain-malloc"]
ABLATION: dict[str, tuple[str, str, list[str]]] = {
    "plain: torch, batch 64": ("irbis_featurize.py", "", PLAIN),
    "plain + malloc settings": ("irbis_featurize.py", "", PLAIN[:-1]),
    "plain + batch 8": ("irbis_featurize.py", "", ["--engine", "torch", "--batch", "8", "--plain-malloc"]),
    "plain + OpenVINO": ("irbis_featurize.py", "", PLAIN[2:]),
    "irbis exact": ("irbis_featurize.py", "", []),
    "exact - malloc settings": ("irbis_featurize.py", "", ["--plain-malloc"]),
    "exact - fast scaling (Pillow)": ("irbis_featurize.py", "", ["--without", "cykooz_resizer"]),
    "exact - fast decoding (Pillow)": ("irbis_featurize.py", "", ["--without", "simplejpeg"]),
    "exact - its own batch (8)": ("irbis_featurize.py", "", ["--batch", "8"]),
    "exact - OpenVINO (torch, batch 8)": ("irbis_featurize.py", "", ["--engine", "torch"]),
    "exact - large tasks (2 MB)": ("irbis_featurize.py", "", ["--partition-megabytes", "2"]),
    "exact - one buffer (pandas UDF)": ("irbis_featurize.py", "", ["--udf"]),
    "irbis fast": ("irbis_featurize.py", "", ["--precision", "fast"]),
    "fast, batch 4": ("irbis_featurize.py", "", ["--precision", "fast", "--batch", "4"]),
}
Rows = dict[str, list[dict[str, Any]]]


def image_set(kind: str, count: int, copies: int, data: Path, folder: Path) -> Path:
    """Give the folder of an image set, made once."""
    target = folder / "sets" / f"{kind}-{count}-{copies}"
    if not (target / "ready").is_file():
        if kind == "12mp":
            images.enlarged(data / "trashnet", target, count)
        else:
            images.copies(data / kind, target, count, copies)
        (target / "ready").touch()
    return target


def tuned(given: argparse.Namespace, name: str) -> list[str]:
    """Give the bare loop's own options for a set and a backbone."""
    return given.loop.split() if given.loop else [*TUNED.get(given.backbone, []), *TUNED.get(name, [])]


def weights_of(given: argparse.Namespace) -> Path:
    return Path(given.data / "backbones" / f"{given.backbone}_imagenet.safetensors")


def run_once(engine: str, *words: str) -> dict[str, Any]:
    """Run an engine in a process of its own; give its times, its rate and its memory."""
    script, environment, options = (ENGINES | ABLATION)[engine]
    python = python_of(environment) if environment else Path(sys.executable)
    command = [str(python), str(HERE / script), *options, *words]
    with Watch() as watch:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watch.follow(process.pid)
        out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{engine} failed:\n{out[-2000:]}\n{err[-4000:]}")
    line = json.loads(out.strip().splitlines()[-1])
    line["rate"] = (line["images"] - line["small"]) / (line["seconds"] - line["seconds_warm"])
    return {**line, "worker_mb": watch.largest_worker, "all_mb": watch.total}


def whole_processes(given: argparse.Namespace, name: str) -> str:
    """Give the table of a set counted from the command to the last row."""
    kind, count, copies, _ = SETS[name]
    chosen = image_set(kind, count, copies, given.data, given.folder)
    weights = weights_of(given)
    loop = [*ENGINES["bare loop"][2], *tuned(given, name)]
    return from_start.table(from_start.from_start(chosen, given.backbone, weights, loop, given.rounds, given.folder))


def limits(folder: Path, backbone: str, weights: Path, precision: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "limit.py"), "--images", str(folder), "--backbone", backbone]
    command += ["--weights", str(weights), "--precision", precision]
    return dict(json.loads(output_of(command).strip().splitlines()[-1]))


def compare(given: argparse.Namespace, name: str, folder: Path) -> Rows:
    """Run all engines on one set, round by round."""
    weights = weights_of(given)
    kind, count, copies, few = SETS[name]
    small = image_set(kind, min(few, count), -(-few // count), given.data, folder)
    chosen = image_set(kind, count, copies, given.data, folder)
    rows: Rows = defaultdict(list)
    for number in range(given.rounds):
        for precision in ("exact", "fast"):
            if f"irbis {precision}" in given.engines:
                rows[f"limit {precision}"].append(limits(chosen, given.backbone, weights, precision))
        for engine in given.engines:
            output = folder / "features" / f"{engine.replace(' ', '-')}.parquet"
            words = ["--small", small, "--images", chosen, "--weights", weights, "--output", output]
            if engine == "bare loop":
                words += tuned(given, name)
            rows[engine].append(run_once(engine, "--backbone", given.backbone, *map(str, words)))
            print(f"round {number + 1}, {engine}: {rows[engine][-1]['rate']:.0f} images/s", file=sys.stderr, flush=True)
    return rows


def table(rows: Rows, folder: Path, labelled: bool) -> str:
    """Give the Markdown table of a set, with accuracies if its folders are labels."""
    first = next(engine for engine in rows if not engine.startswith("limit"))
    lines = [
        f"| engine | images/s, steady | x {first} | share of limit | cold small, s | warm small, s "
        "| largest worker, MB | all, MB | cosine: lowest, median | accuracy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    reference = values_of(folder, first)
    for engine, runs in rows.items():
        if engine.startswith("limit"):
            rates = spread_of([each["limit"] for each in runs])
            parts = ", ".join(
                f"{key} {statistics.median([each[key] for each in runs]):.0f}" for key in ("decode", "network")
            )
            lines.append(f"| {engine} ({parts}) | {rates} | | | | | | | | |")
            continue
        ratios = [each["rate"] / other["rate"] for each, other in zip(runs, rows[first], strict=True)]
        limit = rows.get(engine.replace("irbis", "limit"), []) if engine.startswith("irbis") else []
        shares = [each["rate"] / other["limit"] for each, other in zip(runs, limit, strict=False)]
        lines.append(
            f"| {engine} | {spread_of([each['rate'] for each in runs])} | {spread_of(ratios, 2)} "
            f"| {spread_of(shares, 2) if shares else ''} | {spread_of([each['seconds_cold'] for each in runs], 1)} "
            f"| {spread_of([each['seconds_warm'] for each in runs], 1)} "
            f"| {max(each['worker_mb'] for each in runs):.0f} | {max(each['all_mb'] for each in runs):.0f} "
            f"| {worth(folder, engine, reference, labelled)} |"
        )
    return "\n".join(lines)


def values_of(folder: Path, engine: str) -> pd.DataFrame | None:
    """Give path and features that an engine wrote last."""
    path = folder / "features" / f"{engine.replace(' ', '-')}.parquet"
    return pd.read_parquet(path).drop_duplicates("path").set_index("path").sort_index() if path.exists() else None


def worth(folder: Path, engine: str, reference: pd.DataFrame | None, labelled: bool) -> str:
    """Give cosines with the bare loop's features (full decoding, single precision) and the accuracy they reach."""
    found = values_of(folder, engine)
    if found is None or reference is None:
        return " | "
    common = reference.index.intersection(found.index)
    left, right = (
        pd.DataFrame(each.loc[common, "features"].tolist()).to_numpy("float32") for each in (found, reference)
    )
    near = cosine_similarities(left, right)
    reached = f"{accuracy(left, common.str.split('/').str[-2].to_numpy()):.4f}" if labelled else ""
    return f"{near.min():.5f}, {pd.Series(near).median():.5f} | {reached}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare irbis featurize with other ways to make features.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true", help="one round on 250 images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["2527", "10108", "peru", "12mp"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--loop", default="", help="options of the bare loop, such as '--batch 4'")
    parser.add_argument(
        "--folder", type=Path, default=HERE.parents[1] / ".tools" / "bench", help="for sets and results"
    )
    parser.add_argument("--ablation", action="store_true", help="irbis alone: what each step is worth")
    given = parser.parse_args()
    if given.ablation:
        given.engines = list(ABLATION)
    if given.quick:
        given.rounds, given.sets = 1, ["250"]
    print(f"{os.cpu_count()} cores, {given.backbone}, {given.rounds} rounds\n")
    for name in given.sets:
        rows = compare(given, name, given.folder)
        count = next(each[0]["images"] for engine, each in rows.items() if not engine.startswith("limit"))
        print(f"## {name}: {count:,} images\n\n{table(rows, given.folder, name in LABELLED)}\n", flush=True)
        (given.folder / f"{given.backbone}-{name}.json").write_text(json.dumps(rows, indent=1))
        if name in FROM_START and {"bare loop", "irbis exact", "irbis fast"} <= set(given.engines):
            print(f"{whole_processes(given, name)}\n", flush=True)


if __name__ == "__main__":
    main()
