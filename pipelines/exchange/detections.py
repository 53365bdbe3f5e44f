"""Store boxes in the table detections, and read them, without holding all of them in memory."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.schemas import DETECTIONS, parse_ddl
from pipelines.workspace.detections import newest_detections
from pipelines.workspace.files import remove_folder, upload_dir
from pipelines.workspace.tables import Tables

COLUMNS = parse_ddl(DETECTIONS)
TYPES = {"string": pa.string(), "int": pa.int32(), "double": pa.float64()}
IN_FILE = ("path", *list(COLUMNS)[list(COLUMNS).index("number") : list(COLUMNS).index("detector") + 1])


BOX = ("number", "category", "score", "x", "y", "width", "height")
IS_BOX = "number >= 0 and not (x <= 0 and y <= 0 and width >= 1 and height >= 1)"  # and none around the whole image


def newest_boxes(tables: Tables) -> DataFrame | None:
    """Return content_hash, boxes (BOX, by number) and detector of each image with boxes; null if none were imported.

    They are those of the file that was imported last, of those that name the image. Boxes around the whole image are
    left out: they are how classifiers write their predictions.
    """
    if not tables.exists("detections"):
        return None
    boxes = F.array_sort(F.collect_set(F.struct(*BOX))).alias("boxes")
    return (
        newest_detections(tables).where(IS_BOX).groupBy("content_hash").agg(boxes, F.max("detector").alias("detector"))
    )


@contextmanager
def staged_detections(
    tables: Tables,
    chunks: Callable[[], Iterator[pd.DataFrame]],
    images: Mapping[str, str],
    root: str,
    values: Mapping[str, str],
    now: datetime,
) -> Iterator[DataFrame]:
    """Yield the rows of the table detections that it does not have, read to the end before anything is stored.

    `images`: paths in the file -> relative paths of images; other boxes are left out. `values`: source, file and
    file_sha256. A file's boxes of one content are stored once, also if the file is imported again.
    """
    folder = f"scratch/{uuid.uuid4()}"  # of a form that `irbis clean` removes
    with tempfile.TemporaryDirectory() as local:
        _write_chunks(chunks(), images, Path(local, "detections.parquet"))
        address = upload_dir(tables, Path(local), folder)
    try:
        read = tables.spark.read.parquet(address)
        found = read.withColumn("path", F.concat(F.lit(root), "path"))
        contents = tables.latest_images().where("content_hash is not null").select("path", "content_hash")
        rows = found.join(contents, "path")
        for name, value in values.items():
            rows = rows.withColumn(name, F.lit(value))
        rows = rows.withColumn("imported_at", F.lit(now))
        known = tables.read("detections").where(F.col("file_sha256") == values["file_sha256"])
        rows = rows.join(known.select("content_hash").distinct(), "content_hash", "left_anti")
        rows = rows.dropDuplicates(["content_hash", "number"])  # the file may list identical images
        rows = tables.with_null_columns("detections", rows)
        yield rows.select(*[F.col(name).cast(kind).alias(name) for name, kind in COLUMNS.items()])
    finally:
        if "://" in address:
            remove_folder(tables, folder)
        else:
            shutil.rmtree(address)


def detection_paths(chunks: Iterator[pd.DataFrame]) -> list[str]:
    """Return the different paths of all boxes, in their order."""
    return list(dict.fromkeys(path for chunk in chunks for path in chunk["path"].unique()))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files in a folder with their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(f"\n{file.relative_to(path).as_posix()}\n".encode())
        if file.is_file():
            with file.open("rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _write_chunks(chunks: Iterator[pd.DataFrame], images: Mapping[str, str], target: Path) -> None:
    schema = pa.schema([(name, TYPES[COLUMNS[name]]) for name in IN_FILE])
    with pq.ParquetWriter(target, schema) as writer:
        for chunk in chunks:
            rows = chunk.assign(path=chunk["path"].map(images))
            rows = rows[rows["path"].notna()].reindex(columns=list(IN_FILE)).astype(object)
            rows = rows.where(rows.notna(), None)
            writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
