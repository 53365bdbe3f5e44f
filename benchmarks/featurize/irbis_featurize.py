"""irbis featurize: table images to table features, the stage as users run it; the tables are filled off the clock."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import Run, measure, parser_of

from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.spark import session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

BESIDE = ("backbone", "failure", "failure_detail", "featurized_at")


def settings_of(given: argparse.Namespace, workspace: Path, folder: Path) -> Settings:
    chosen = {
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
    return load_settings(None, {key: str(value) for key, value in chosen.items() if value is not None})


def with_udf(given: argparse.Namespace, tables: Tables) -> None:
    embed = featurize.featurize_udf(given.backbone, weights=given.weights, precision=given.precision)
    rows = tables.read("images").where("failure is null").select("content_hash", embed("content").alias("features"))
    tables.append("features", rows.selectExpr("*", *(f"null as {name}" for name in BESIDE)))


def hide(package: str, folder: Path) -> None:
    """Let workers find a package that cannot be imported, as where it has no wheel."""
    (folder / f"{package}.py").write_text("raise ImportError\n")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


@contextmanager
def prepared(given: argparse.Namespace) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as scratch:
        folders = [folder.resolve() for folder in (given.small, given.images) if folder]
        settings = {
            folder: settings_of(given, Path(scratch, str(number)), folder) for number, folder in enumerate(folders)
        }
        if given.plain_malloc:
            session.MALLOC_ENV.clear()
        for package in given.without or ():
            hide(package, Path(scratch))
        spark = session.get_session(settings[folders[-1]])
        for each in settings.values():
            ingest.run(spark, each)

        def run(folder: Path, output: Path) -> None:
            chosen, tables = settings[folder], Tables.of(spark, settings[folder])
            shutil.rmtree(Path(chosen.workspace) / "tables/features", ignore_errors=True)
            if given.udf:
                with_udf(given, tables)
            else:
                featurize.run(spark, chosen)

        yield run
        last = settings[folders[-1]]
        tables = Tables.of(spark, last)
        images = tables.latest_images().select("path", "content_hash")
        found = tables.read("features").where("failure is null").select("content_hash", "features")
        rows = images.join(found, "content_hash").drop("content_hash").toPandas()
        rows["path"] = [str(Path(path.removeprefix("file://")).relative_to(folders[-1])) for path in rows["path"]]
        rows.to_parquet(given.output.resolve())
        spark.stop()


def main() -> None:
    parser = parser_of("Measure irbis featurize.")
    parser.add_argument("--precision", default="exact")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--plain-malloc", action="store_true", help="leave glibc's memory settings as they are")
    parser.add_argument("--without", action="append", metavar="PACKAGE", help="as where it cannot be installed")
    parser.add_argument("--partition-megabytes", type=int, help="of images in a file, and so in a task")
    parser.add_argument("--udf", action="store_true", help="featurize_udf, as in notebooks, instead of the stage")
    measure("irbis", parser, prepared)


if __name__ == "__main__":
    main()
