"""Time and memory of an export, and of an import of its own file, for many synthetic images.

    python benchmarks/exchange.py flat --images 1000000 --import
    python benchmarks/exchange.py timelapse --set export.columns.Species=final_label

Prints seconds, the peak resident memory of the Python process, and that of the JVM beside its heap setting. The tables
are made once in --workspace and used again.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.config.loader import load_settings
from pipelines.exchange.export import export
from pipelines.exchange.formats.registry import get_format
from pipelines.exchange.imports import import_file
from pipelines.schemas import IMAGES, LABELS, PREDICTIONS, parse_ddl
from pipelines.spark.session import get_session
from pipelines.workspace.tables import Tables

LABEL_NAMES = [f"species {i:02}" for i in range(19)] + ["blank"]
IMAGES_PER_STATION = 10_000
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format", help="as in irbis export --to")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--workspace", default="/tmp/irbis-benchmark-exchange")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--import", dest="imports", action="store_true", help="also import the file that was written")
    options = parser.parse_args()
    overrides = dict(word.split("=", 1) for word in options.set)
    settings = load_settings(None, {"workspace": f"{options.workspace}-{options.images}", **overrides})
    spark = get_session(settings, cache_classes=False)
    tables = Tables.of(spark, settings)
    if not tables.exists("labels"):
        make_tables(tables, options.images)
    with measured(spark, f"export {options.format}, {options.images:,} images"):
        result = export(spark, settings, options.format)
    print("\n".join(result.closing_lines()))
    print("".join(f"  {file.name}: {file.stat().st_size / 2**20:,.0f} MiB\n" for file in result.exported.files), end="")
    if options.imports and get_format(options.format).read:
        target = settings.model_copy(update={"workspace": f"{settings.workspace}-import"})
        other = Tables.of(spark, target)
        if not other.exists("images"):
            other.append("images", tables.read("images").withColumn("label", F.lit(None).cast("string")))
        with measured(spark, f"import {options.format}"):
            found = import_file(spark, target, str(result.exported.files[0]), options.format)
        print("\n".join(found.lines()))


def make_tables(tables: Tables, count: int) -> None:
    """Write images (a tenth labelled by the source), predictions of 20 classes, and decisions on a fiftieth."""
    number = F.col("id")
    station = F.format_string("S%03d", F.floor(number / IMAGES_PER_STATION))
    path = F.concat(F.lit("file:///survey/"), station, F.format_string("/cam/IMG_%07d.JPG", number))
    content = F.sha2(number.cast("string"), 256)
    label = F.element_at(F.array(*map(F.lit, LABEL_NAMES)), (number % len(LABEL_NAMES) + 1).cast("int"))
    base = tables.spark.range(0, count, 1, 50).select(
        *[
            number,
            path.alias("path"),
            content.alias("content_hash"),
            station.alias("station"),
            label.alias("any_label"),
        ],
        F.timestamp_seconds(F.lit(1_600_000_000) + F.floor(number / 3) * 600 + number % 3).alias("captured_at"),
        F.concat(station, F.format_string("-%d", F.floor(number / 3))).alias("burst_id"),
        F.concat(station, F.format_string("-g%d", F.floor(number / 9))).alias("group_id"),
    )
    known = {"size": F.lit(2_000_000), "width": F.lit(2048), "height": F.lit(1536), "ingested_at": F.lit(NOW)}
    known["label"] = F.when(number % 10 == 0, F.col("any_label"))
    _append(tables, "images", IMAGES, base, known)
    shares = F.array(*[F.lit(1.0 / 2 ** (i + 1)) for i in range(len(LABEL_NAMES))])
    names = F.concat(F.array("any_label"), F.array_except(F.array(*map(F.lit, LABEL_NAMES)), F.array("any_label")))
    scored = {"prediction": F.col("any_label"), "score": F.lit(0.5), "probabilities": F.map_from_arrays(names, shares)}
    scored |= {"burst_prediction": F.col("any_label"), "burst_score": F.lit(0.6), "needs_review": number % 5 == 0}
    scored |= {"model_name": F.lit("irbis"), "model_version": F.lit("1"), "scored_at": F.lit(NOW)}
    _append(tables, "predictions", PREDICTIONS, base, scored)
    decided = {"decision_id": F.col("content_hash"), "label": F.col("any_label"), "action": F.lit("correct")}
    decided |= {"reviewer": F.lit("ann"), "reviewed_at": F.lit(NOW), "source": F.lit("review"), "scope": F.lit("image")}
    _append(tables, "labels", LABELS, base.where(number % 50 == 1), decided)


def _append(tables: Tables, name: str, ddl: str, base, values) -> None:
    columns = {
        column: values.get(column, F.col(column) if column in base.columns else F.lit(None)).cast(kind).alias(column)
        for column, kind in parse_ddl(ddl).items()
    }
    tables.append(name, base.select(*columns.values()))


@contextmanager
def measured(spark: SparkSession, what: str) -> Iterator[None]:
    """Print the time of the block, and the peak memory of this process and of the JVM."""
    jvm, stop, peak = _jvm_pid(spark), threading.Event(), [0]

    def watch() -> None:
        while not stop.wait(0.5):
            peak[0] = max(peak[0], _resident(jvm))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    stop.set(), watcher.join()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    heap = spark.conf.get("spark.driver.memory")
    mib = 2**20
    print(f"{what}: {seconds:.0f} s; driver's Python {own / mib:,.0f} MiB, JVM {peak[0] / mib:,.0f} MiB (heap {heap})")


def _jvm_pid(spark: SparkSession) -> int:
    return int(spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getName().split("@")[0])


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
