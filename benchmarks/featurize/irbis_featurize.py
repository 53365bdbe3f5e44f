"""Featurize with irbis: the stage as users run it, from table images to table features. Ingest is not measured."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import Run, make_parser, measure

from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.spark import session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

OTHER_COLUMNS = ("backbone", "failure", "failure_detail", "featurized_at")


def make_settings(given: argparse.Namespace, workspace: Path, folder: Path) -> Settings:
    values = {
        "workspace": str(workspace),
        "sources.images": str(folder),
        "sources.labels": "folder",
        "featurize.backbone": given.backbone,
        "featurize.weights": None if given.weights == "random" else given.weights,
        "featurize.precision": given.precision,
        "featurize.engine": given.engine,
        "featurize.batch_size": given.batch,
        "spark.master": given.master,
        "ingest.partition_megabytes": given.partition_megabytes,
    }
    return load_settings(None, {key: str(value) for key, value in values.items() if value is not None})


def featurize_with_udf(given: argparse.Namespace, tables: Tables) -> None:
    """Compute features with featurize_udf instead of the stage."""
    embed = featurize.featurize_udf(given.backbone, weights=given.weights, precision=given.precision)
    rows = tables.read("images").where("failure is null").select("content_hash", embed("content").alias("features"))
    tables.append("features", rows.selectExpr("*", *(f"null as {name}" for name in OTHER_COLUMNS)))


def hide(package: str, folder: Path) -> None:
    """Make a package unimportable for workers, as on platforms without a wheel of it."""
    (folder / f"{package}.py").write_text("raise ImportError\n")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Yield the run function, with images ingested; on exit write the features by path."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [folder.resolve() for folder in (given.small, given.images) if folder]
        settings = {
            folder: make_settings(given, Path(scratch, str(number)), folder) for number, folder in enumerate(folders)
        }
        if given.plain_malloc:
            session.MALLOC_ENV.clear()
        for package in given.without or ():
            hide(package, Path(scratch))
        spark = session.get_session(settings[folders[-1]])
        for each in settings.values():
            ingest.run(spark, each)

        def run(folder: Path, output: Path) -> None:
            current, tables = settings[folder], Tables.of(spark, settings[folder])
            shutil.rmtree(Path(current.workspace) / "tables/features", ignore_errors=True)
            if given.udf:
                featurize_with_udf(given, tables)
            else:
                featurize.run(spark, current)

        yield run
        last = settings[folders[-1]]
        tables = Tables.of(spark, last)
        images = tables.latest_images().select("path", "content_hash")
        features = tables.read("features").where("failure is null").select("content_hash", "features")
        rows = images.join(features, "content_hash").drop("content_hash").toPandas()
        rows["path"] = [str(Path(path.removeprefix("file://")).relative_to(folders[-1])) for path in rows["path"]]
        rows.to_parquet(given.output.resolve())
        spark.stop()


def main() -> None:
    parser = make_parser("Measure irbis featurize.")
    parser.add_argument("--precision", default="exact")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--plain-malloc", action="store_true", help="do not set glibc's malloc variables")
    parser.add_argument("--without", action="append", metavar="PACKAGE", help="hide a package from the workers")
    parser.add_argument("--partition-megabytes", type=int, help="megabytes of images per file, and so per task")
    parser.add_argument("--udf", action="store_true", help="featurize_udf, as in notebooks, instead of the stage")
    measure("irbis", parser, prepare)


if __name__ == "__main__":
    main()
