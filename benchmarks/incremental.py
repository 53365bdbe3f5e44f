"""Measure the time for 100 new images by the number of images already in the tables.

    python benchmarks/incremental.py FOLDER [--existing 2500 25000 250000] [--rounds 3]

FOLDER holds images in folders. The tables are filled with made-up rows of other surveys. The 100 images are
real, made unique by a JPEG comment, and go through ingest and featurize with irbis_tiny, all in one warm session; the
first round is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).resolve().parent / "featurize"))  # for images.py

from images import add_comment, sample_evenly, write_image

from pipelines.backbones import feature_id
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.spark.runtime import NO_CODEGEN, tune_codegen
from pipelines.spark.session import get_session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

NEW = 100


def make_settings(workspace: Path, folder: Path) -> Settings:
    return load_settings(None, {"workspace": str(workspace), "sources.images": str(folder)})


def add_images(source: Path, folder: Path, number: int) -> None:
    for index, file in enumerate(sample_evenly(source, NEW)):
        write_image(folder, file, f"{index}-{number}", add_comment(file.read_bytes(), number))


def fill(tables: Tables, settings: Settings, count: int) -> None:
    """Add rows of other surveys to images and features until they hold `count` images."""
    existing = tables.read("images").drop("content")
    copies = -(-count // existing.count()) - 1
    rows = existing.crossJoin(tables.spark.range(copies)).limit(count - existing.count())
    for name in ("burst_id", "group_id"):
        rows = rows.withColumn(name, F.concat(name, F.lit("-"), "id"))
    file_name = F.element_at(F.split("path", "/"), -1)
    rows = rows.withColumn("path", F.concat(F.lit("file:///surveys/"), "id", F.lit("/"), file_name)).drop("id")
    rows = rows.withColumn("content_hash", F.sha2("path", 256)).withColumn("content", F.lit(b"made up"))
    tables.append("images", rows)
    features = tables.read("images").where(F.col("content") == F.lit(b"made up")).select("content_hash")
    features = features.withColumn("features", F.array_repeat(F.rand(1).cast("float"), 512))
    features = features.withColumn("backbone", F.lit(feature_id(settings)))
    features = features.withColumn("featurized_at", F.current_timestamp())
    nothing = F.lit(None).cast("string")
    tables.append("features", features.withColumn("failure", nothing).withColumn("failure_detail", nothing))


def run_round(spark: Any, settings: Settings) -> tuple[float, float]:
    """Return the seconds of ingest and featurize for the new images, with code generation as in a new session."""
    for name, value in NO_CODEGEN.items():
        spark.conf.set(name, value)
    rows = Tables.of(spark, settings).approximate_count("images")
    seconds = []
    for name, stage in (("ingest", ingest), ("featurize", featurize)):
        start = time.perf_counter()
        tune_codegen(spark, rows, name)
        assert stage.run(spark, settings).read == NEW
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure 100 new images on top of many.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--existing", type=int, nargs="+", default=[2_500, 25_000, 250_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspaces = {
            count: make_settings(Path(scratch, f"w{count}"), Path(scratch, f"p{count}")) for count in options.existing
        }
        spark = get_session(next(iter(workspaces.values())))
        for count, settings in workspaces.items():
            add_images(options.folder, Path(str(settings.sources.images)), 0)
            run_round(spark, settings)
            fill(Tables.of(spark, settings), settings, count)
        times: dict[int, list[tuple[float, float]]] = {count: [] for count in workspaces}
        for number in range(1, options.rounds + 2):
            for count, settings in workspaces.items():
                add_images(options.folder, Path(str(settings.sources.images)), number)
                seconds = run_round(spark, settings)
                if number > 1:
                    times[count].append(seconds)
        print("| existing rows | ingest, s | featurize, s | both, s | ratio to the fewest |")
        print("|---|---|---|---|---|")
        base = statistics.median(sum(each) for each in times[options.existing[0]])
        for count, rounds in times.items():
            parts = [statistics.median(each) for each in zip(*rounds, strict=True)]
            both = statistics.median(sum(each) for each in rounds)
            print(f"| {count:,} | {parts[0]:.1f} | {parts[1]:.1f} | {both:.1f} | {both / base:.2f} |")
        spark.stop()


if __name__ == "__main__":
    main()
