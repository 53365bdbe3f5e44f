"""Compare the speed of irbis ingest with Spark's binaryFile over wasb, on the same container.

    make azurite
    python benchmarks/ingest_azure.py FOLDER [--images N] [--copies N] [--latency SECONDS] [--rounds N]

FOLDER holds images, which are uploaded to Azurite first, each --copies times, made unique by a JPEG comment. Both write
Delta in the same session. Rounds are interleaved, after one warm-up round; the ratio of every round and their median
are printed. wasb only supports an emulator on port 10000, so that port must be free. --latency is added to every
request of both by a proxy in front of Azurite.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # imports the emulator from tests/
sys.path.insert(0, str(Path(__file__).resolve().parent / "featurize"))  # for images.py

from azure.storage.blob import ContainerClient
from images import add_comment, write_image

from pipelines.config.loader import load_settings
from pipelines.spark.session import get_session
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.upload import upload_folder
from tests.azurite import ACCOUNT, KEY, Azurite
from tests.fault_proxy import fault_proxy

PORT = 10000  # of emulators for wasb
WASB = {
    "spark.jars.packages": "org.apache.hadoop:hadoop-azure:3.3.4,com.microsoft.azure:azure-storage:7.0.1,"
    "org.eclipse.jetty:jetty-util:9.4.43.v20210629,org.eclipse.jetty:jetty-util-ajax:9.4.43.v20210629",
    "spark.jars.excludes": "org.apache.hadoop:hadoop-common,commons-logging:commons-logging",
    "spark.hadoop.fs.azure.storage.emulator.account.name": ACCOUNT,
    "spark.hadoop.fs.azure.io.retry.max.retries": "1",
}


def make_settings(workspace: Path, name: str) -> Any:
    conf = {f"spark.conf.{key}": value for key, value in WASB.items()}
    address = f"http://127.0.0.1:{PORT}/{ACCOUNT}/{name}"
    return load_settings(
        None, {**conf, "workspace": str(workspace), "sources.images": address, "azure.account_key": KEY}
    )


def ingest_with_binary_file(spark: Any, name: str, target: Path) -> int:
    """Read every blob with Spark's binaryFile and append it to a Delta table, as its documentation shows."""
    images = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    images.option("pathGlobFilter", "*.jpg").load(f"wasb://{name}@{ACCOUNT}/").write.format("delta").save(str(target))
    return int(spark.read.format("delta").load(str(target)).count())


def measure_table(table: Path) -> tuple[float, int]:
    """Return megabytes and number of files of a Delta table."""
    files = list(table.rglob("*.parquet"))
    return sum(file.stat().st_size for file in files) / 1e6, len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare irbis ingest with binaryFile over wasb.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2527)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to every request")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = folder / "images"
        for file in sorted(options.folder.rglob("*.jpg"))[: options.images]:
            for number in range(options.copies):
                write_image(images, file, str(number), add_comment(file.read_bytes(), number))
        azurite = Azurite.start(folder, port=0 if options.latency else PORT)
        try:
            with fault_proxy(azurite.port, 0.0, listen=PORT) if options.latency else nullcontext() as proxy:
                name = "images"
                ContainerClient.from_connection_string(azurite.connection_string, name).create_container()
                settings = make_settings(folder / "session", name)
                print(upload_folder(str(images), settings, False)[0][0])
                spark = get_session(settings)
                spark.range(1).write.format("delta").save(str(folder / "warm"))
                if proxy:
                    proxy.latency = options.latency
                ratios = []
                for number in range(options.rounds + 1):
                    start = time.perf_counter()
                    count = ingest_with_binary_file(spark, name, folder / f"binary-{number}")
                    theirs = count / (time.perf_counter() - start)
                    start = time.perf_counter()
                    result = ingest.run(spark, make_settings(folder / f"irbis-{number}", name))
                    ours = result.written / (time.perf_counter() - start)
                    assert result.written == count == result.read
                    kind = f"round {number}" if number else "warm-up"
                    print(
                        f"{kind}: binaryFile {theirs:.0f}/s, irbis {ours:.0f}/s: ratio {ours / theirs:.1f}", flush=True
                    )
                    if number:
                        ratios.append(ours / theirs)
                median = statistics.median(ratios)
                print(f"median ratio of {options.rounds}: {median:.1f}, {1000 * options.latency:.0f} ms added")
                for label, table in (("binaryFile", "binary-0"), ("irbis", "irbis-0/tables/images")):
                    size, files = measure_table(folder / table)
                    print(f"{label}: {size:.0f} MB in {files} files")
                spark.stop()
        finally:
            azurite.stop()


if __name__ == "__main__":
    main()
