"""Compare irbis featurize with other engines: `make bench`.

    python benchmarks/featurize DATA [--quick] [--ablation] [--rounds N] [--backbone NAME] [--sets NAME ...]

DATA holds trashnet and cameratrap_peru_sdzg (images in folders) and backbones (NAME_imagenet.safetensors). In each
round every engine runs in its own process, one after the other. A small set serves as warm-up, so the steady rate is
(images - small) / (seconds - seconds of the small set). Prints medians over the rounds with minimum and maximum, and
ratios to the first engine of the same round. A second table measures whole processes, from the command to the last
row. Needs at least two idle cores.
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
from environments import environment_python
from memory import MemoryMonitor
from rounds import format_spread, run_process

from pipelines.engines.quantization.calibration_images import cosine_similarities

HERE = Path(__file__).resolve().parent
# Source, number of images, copies of each, and number of images for the warm-up.
SETS = {
    "250": ("trashnet", 250, 1, 60),
    "2527": ("trashnet", 2527, 1, 250),
    "10108": ("trashnet", 2527, 4, 250),
    "peru": ("cameratrap_peru_sdzg", 111, 40, 333),
    "12mp": ("12mp", 200, 1, 24),
}
WHOLE_PROCESS = ("250", "2527", "10108")  # sets also measured from the command to the last row
LABELLED = ("250", "2527", "12mp")  # sets whose folders are labels, without copies of an image in another fold
# Name: script, environment, options. Those of the bare loop are the best of `bare_loop.py --tune`; see TUNED.
ENGINES: dict[str, tuple[str, str, list[str]]] = {
    "bare loop": ("bare_loop.py", "", ["--batch", "8", "--workers", "0", "--threads", "2", "--compile"]),
    "irbis exact": ("irbis_featurize.py", "", []),
    "irbis fast": ("irbis_featurize.py", "", ["--precision", "fast"]),
    "published": ("published_pattern.py", "", []),
    "Ray Data": ("ray_data.py", "ray", []),
    "Daft": ("daft_embed.py", "daft", []),
}
# Best options of the bare loop for large images, whose decoding needs both cores, and for other backbones. Use --loop
# on processors where --tune finds others.
TUNED = {"12mp": ["--workers", "2", "--threads", "1"], "mobilenet_v2": ["--batch", "2"]}
# Each optimization alone on top of the plain form, all of them, and all but one.
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
    """Return the folder of an image set, creating it if needed."""
    target = folder / "sets" / f"{kind}-{count}-{copies}"
    if not (target / "ready").is_file():
        if kind == "12mp":
            images.make_enlarged(data / "trashnet", target, count)
        else:
            images.make_copies(data / kind, target, count, copies)
        (target / "ready").touch()
    return target


def tuned_options(options: argparse.Namespace, name: str) -> list[str]:
    """Return the bare loop's options for a set and a backbone."""
    return options.loop.split() if options.loop else [*TUNED.get(options.backbone, []), *TUNED.get(name, [])]


def weights_file(options: argparse.Namespace) -> Path:
    return Path(options.data / "backbones" / f"{options.backbone}_imagenet.safetensors")


def run_once(engine: str, *words: str) -> dict[str, Any]:
    """Run an engine in its own process; return its times, rate and memory."""
    script, environment, options = (ENGINES | ABLATION)[engine]
    python = environment_python(environment) if environment else Path(sys.executable)
    command = [str(python), str(HERE / script), *options, *words]
    with MemoryMonitor() as monitor:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        monitor.start(process.pid)
        out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{engine} failed:\n{out[-2000:]}\n{err[-4000:]}")
    line = json.loads(out.strip().splitlines()[-1])
    line["rate"] = (line["images"] - line["small"]) / (line["seconds"] - line["seconds_warm"])
    return {**line, "worker_mb": monitor.largest_worker, "all_mb": monitor.total}


def whole_process_table(options: argparse.Namespace, name: str) -> str:
    """Return the table of a set measured from the command to the last row."""
    kind, count, copies, _ = SETS[name]
    target = image_set(kind, count, copies, options.data, options.folder)
    weights = weights_file(options)
    loop = [*ENGINES["bare loop"][2], *tuned_options(options, name)]
    return from_start.table(
        from_start.measure_rounds(target, options.backbone, weights, loop, options.rounds, options.folder)
    )


def measure_limit(folder: Path, backbone: str, weights: Path, precision: str) -> dict[str, Any]:
    """Return the rates of limit.py for a set."""
    command = [sys.executable, str(HERE / "limit.py"), "--images", str(folder), "--backbone", backbone]
    command += ["--weights", str(weights), "--precision", precision]
    return dict(json.loads(run_process(command).strip().splitlines()[-1]))


def compare(options: argparse.Namespace, name: str, folder: Path) -> Rows:
    """Run all engines on one set, round by round; return their results."""
    weights = weights_file(options)
    kind, count, copies, warm_up = SETS[name]
    small = image_set(kind, min(warm_up, count), -(-warm_up // count), options.data, folder)
    target = image_set(kind, count, copies, options.data, folder)
    rows: Rows = defaultdict(list)
    for number in range(options.rounds):
        for precision in ("exact", "fast"):
            if f"irbis {precision}" in options.engines:
                rows[f"limit {precision}"].append(measure_limit(target, options.backbone, weights, precision))
        for engine in options.engines:
            output = folder / "features" / f"{engine.replace(' ', '-')}.parquet"
            words = ["--small", small, "--images", target, "--weights", weights, "--output", output]
            if engine == "bare loop":
                words += tuned_options(options, name)
            rows[engine].append(run_once(engine, "--backbone", options.backbone, *map(str, words)))
            print(f"round {number + 1}, {engine}: {rows[engine][-1]['rate']:.0f} images/s", file=sys.stderr, flush=True)
    return rows


def table(rows: Rows, folder: Path, labelled: bool) -> str:
    """Return the Markdown table of a set, with accuracies if its folders are labels."""
    first = next(engine for engine in rows if not engine.startswith("limit"))
    lines = [
        f"| engine | images/s, steady | x {first} | fraction of limit | cold small, s | warm small, s "
        "| largest worker, MB | all, MB | cosine: lowest, median | accuracy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    reference = read_features(folder, first)
    for engine, runs in rows.items():
        if engine.startswith("limit"):
            rates = format_spread([run["limit"] for run in runs])
            parts = ", ".join(
                f"{key} {statistics.median([run[key] for run in runs]):.0f}" for key in ("decode", "network")
            )
            lines.append(f"| {engine} ({parts}) | {rates} | | | | | | | | |")
            continue
        ratios = [run["rate"] / other["rate"] for run, other in zip(runs, rows[first], strict=True)]
        limit = rows.get(engine.replace("irbis", "limit"), []) if engine.startswith("irbis") else []
        fractions = [run["rate"] / other["limit"] for run, other in zip(runs, limit, strict=False)]
        lines.append(
            f"| {engine} | {format_spread([run['rate'] for run in runs])} | {format_spread(ratios, 2)} "
            f"| {format_spread(fractions, 2) if fractions else ''} "
            f"| {format_spread([run['seconds_cold'] for run in runs], 1)} "
            f"| {format_spread([run['seconds_warm'] for run in runs], 1)} "
            f"| {max(run['worker_mb'] for run in runs):.0f} | {max(run['all_mb'] for run in runs):.0f} "
            f"| {quality_cells(folder, engine, reference, labelled)} |"
        )
    return "\n".join(lines)


def read_features(folder: Path, engine: str) -> pd.DataFrame | None:
    """Return the features that an engine wrote last, by path; None if it has not run."""
    path = folder / "features" / f"{engine.replace(' ', '-')}.parquet"
    return pd.read_parquet(path).drop_duplicates("path").set_index("path").sort_index() if path.exists() else None


def quality_cells(folder: Path, engine: str, reference: pd.DataFrame | None, labelled: bool) -> str:
    """Return cosine similarity to the reference features, and accuracy, as two table cells."""
    features = read_features(folder, engine)
    if features is None or reference is None:
        return " | "
    common = reference.index.intersection(features.index)
    left, right = (
        pd.DataFrame(frame.loc[common, "features"].tolist()).to_numpy("float32") for frame in (features, reference)
    )
    cosines = cosine_similarities(left, right)
    accuracy_cell = f"{accuracy(left, common.str.split('/').str[-2].to_numpy()):.4f}" if labelled else ""
    return f"{cosines.min():.5f}, {pd.Series(cosines).median():.5f} | {accuracy_cell}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare irbis featurize with other engines.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true", help="one round on 250 images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["2527", "10108", "peru", "12mp"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--loop", default="", help="options of the bare loop, such as '--batch 4'")
    parser.add_argument(
        "--folder", type=Path, default=HERE.parents[1] / ".tools" / "bench", help="folder of image sets and results"
    )
    parser.add_argument("--ablation", action="store_true", help="irbis only: the effect of each optimization")
    options = parser.parse_args()
    if options.ablation:
        options.engines = list(ABLATION)
    if options.quick:
        options.rounds, options.sets = 1, ["250"]
    print(f"{os.cpu_count()} cores, {options.backbone}, {options.rounds} rounds\n")
    for name in options.sets:
        rows = compare(options, name, options.folder)
        count = next(runs[0]["images"] for engine, runs in rows.items() if not engine.startswith("limit"))
        print(f"## {name}: {count:,} images\n\n{table(rows, options.folder, name in LABELLED)}\n", flush=True)
        (options.folder / f"{options.backbone}-{name}.json").write_text(json.dumps(rows, indent=1))
        if name in WHOLE_PROCESS and {"bare loop", "irbis exact", "irbis fast"} <= set(options.engines):
            print(f"{whole_process_table(options, name)}\n", flush=True)


if __name__ == "__main__":
    main()
