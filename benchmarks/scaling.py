"""Estimate time, price and storage for 1, 10 and 100 million images on a cluster (docs/explain/scaling.md).

    python benchmarks/scaling.py [--rate 85] [--cores 64] [--price 3.2] [--megabytes 0.5] [--per-commit 200000]

Every assumption is an option or a constant below; change them for your cluster.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

FETCH_MS = 0.8  # CPU time of one core per blob (benchmarks/ingest_azure.py)
REQUESTS = 20_000  # per second that one storage account serves
PER_FILE_MB = 64  # ingest.partition_megabytes
FEATURE_BYTES = 4  # per element of a feature vector, before Parquet
LOG_KB = 1.0 + 0.9  # per commit: its own line, and one per file with its statistics (measured)
NAME_BYTES = 968  # of the driver, Python and JVM, per listed name (benchmarks/listing_memory.py)


@dataclass(frozen=True)
class Cluster:
    """A cluster: cores that run tasks, price per hour, and images per second of one core."""

    cores: int
    price: float
    rate: float


def estimate(images: int, megabytes: float, width: int, per_commit: int, cluster: Cluster) -> dict[str, str]:
    """Return the table row for a number of images."""
    fetching = max(images * FETCH_MS / 1000 / cluster.cores, images / REQUESTS)
    computing = images / (cluster.rate * cluster.cores)
    hours = (fetching + computing) / 3600
    commits = -(-images // per_commit)
    image_files = max(commits, round(images * megabytes / PER_FILE_MB))
    feature_files = commits * cluster.cores
    log = (2 * commits * LOG_KB + (image_files + feature_files) * LOG_KB) / 1024
    return {
        "images": f"{images / 1e6:.0f} million",
        "ingest, h": f"{fetching / 3600:.2f}",
        "featurize, h": f"{computing / 3600:.2f}",
        "price": f"${hours * cluster.price:,.2f}",
        "$ a million": f"{hours * cluster.price / images * 1e6:.2f}",
        "tasks": f"{image_files + feature_files:,}",
        "files of images": f"{image_files:,}",
        "files of features": f"{feature_files:,}",
        "bytes, GB": f"{images * megabytes / 1024:,.0f}",
        "features, GB": f"{images * width * FEATURE_BYTES / 2**30:,.1f}",
        "log, MB": f"{log:,.0f}",
        "driver, GB": f"{1 + images * NAME_BYTES / 2**30:,.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute time and price for large surveys.")
    parser.add_argument("--rate", type=float, default=85, help="images per second of one core in featurize")
    parser.add_argument("--cores", type=int, default=64, help="cores that run tasks")
    parser.add_argument("--price", type=float, default=3.2, help="price of the cluster per hour")
    parser.add_argument("--megabytes", type=float, default=0.5, help="size of an image in MB")
    parser.add_argument("--width", type=int, default=512, help="length of a feature vector")
    parser.add_argument(
        "--per-commit", type=int, default=200_000, help="ingest.files_per_commit and featurize.images_per_commit"
    )
    options = parser.parse_args()
    cluster = Cluster(options.cores, options.price, options.rate)
    rows = [estimate(10**power, options.megabytes, options.width, options.per_commit, cluster) for power in (6, 7, 8)]
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(row.values())} |")


if __name__ == "__main__":
    main()
