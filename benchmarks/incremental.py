"""Print what 100 new images cost, by how many images the tables hold already.

    python benchmarks/incremental.py FOLDER [--existing 2500 25000 250000] [--rounds 3]

FOLDER holds images in folders. The tables are filled with rows of other surveys, bytes and features made up;
the 100 images are real, new by a JPEG comment, and go through ingest and featurize with irbis_tiny. One warm
session does all; the first round is not counted.
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

sys.path.insert(0, str(Path(__file__).resolve().parent / "featurize"))  # where image sets are made

from images import evenly, put, with_comment

from pipelines.backbones import feature_id
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.spark.runtime import NO_CODEGEN, tune_codegen
from pipelines.spark.session import get_session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

NEW = 100


def settings_of(workspace: Path, folder: Path) -> Settings:
    return load_settings(None, {"workspace": str(workspace), "sources.images": str(folder)})


def add_images(source: Path, folder: Path, number: int) -> None:
    for index, file in enumerate(evenly(source, NEW)):
        put(folder, file, f"{index}-{number}", with_comment(file.read_bytes(), number))


def fill(tables: Tables, settings: Settings, wanted: int) -> None:
    """Add rows of other surveys to images and features until they hold `wanted` images."""
    known = tables.read("images").drop("content")
    copies = -(-wanted // known.count()) - 1
    rows = known.crossJoin(tables.spark.range(copies)).limit(wanted - known.count())
    for name in ("burst_id", "group_id"):
        rows = rows.withColumn(name, F.concat(name, F.lit("-"), "id"))
    place = F.element_at(F.split("path", "/"), -1)
    rows = rows.withColumn("path", F.concat(F.lit("file:///surveys/"), "id", F.lit("/"), place)).drop("id")
    rows = rows.withColumn("content_hash", F.sha2("path", 256)).withColumn("content", F.lit(b"made up"))
    tables.append("images", rows)
    made = tables.read("images").where(F.col("content") == F.lit(b"made up")).select("content_hash")
    made = made.withColumn("features", F.array_repeat(F.rand(1).cast("float"), 512))
    made = made.withColumn("backbone", F.lit(feature_id(settings)))
    made = made.withColumn("featurized_at", F.current_timestamp())
    nothing = F.lit(None).cast("string")
    tables.append("features", made.withColumn("failure", nothing).withColumn("failure_detail", nothing))


def one_round(spark: Any, settings: Settings) -> tuple[float, float]:
    """Give the seconds of ingest and of featurize for what is new, queries run as in a session of their own."""
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
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        places = {
            count: settings_of(Path(scratch, f"w{count}"), Path(scratch, f"p{count}")) for count in given.existing
        }
        spark = get_session(next(iter(places.values())))
        for count, settings in places.items():
            add_images(given.folder, Path(str(settings.sources.images)), 0)
            one_round(spark, settings)
            fill(Tables.of(spark, settings), settings, count)
        taken: dict[int, list[tuple[float, float]]] = {count: [] for count in places}
        for number in range(1, given.rounds + 2):
            for count, settings in places.items():
                add_images(given.folder, Path(str(settings.sources.images)), number)
                seconds = one_round(spark, settings)
                if number > 1:
                    taken[count].append(seconds)
        print("| rows that are there | ingest, s | featurize, s | both, s | x the fewest |")
        print("|---|---|---|---|---|")
        least = statistics.median(sum(each) for each in taken[given.existing[0]])
        for count, rounds in taken.items():
            parts = [statistics.median(each) for each in zip(*rounds, strict=True)]
            both = statistics.median(sum(each) for each in rounds)
            print(f"| {count:,} | {parts[0]:.1f} | {parts[1]:.1f} | {both:.1f} | {both / least:.2f} |")
        spark.stop()


if __name__ == "__main__":
    main()
