"""Collect what is exported: one row for each image, with its label in force and its prediction."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import DataError, ModelError
from pipelines.exchange.filters import Filters
from pipelines.exchange.formats.base import EXPORT_ROWS
from pipelines.formatting import pluralize
from pipelines.label_text import require_known_labels
from pipelines.schemas import parse_ddl
from pipelines.sources.registry import find_root
from pipelines.tracking.local_champion import find_version
from pipelines.workspace.labels import FROM_PERSON, labelled_by_people
from pipelines.workspace.tables import Tables

COLUMNS = parse_ddl(EXPORT_ROWS)


def exported_label() -> Column:
    """Return the label in force, else the prediction; null if a person cannot tell, or if there is neither."""
    return F.coalesce("label", F.when(~F.col("is_unknown"), F.col("prediction")))


def find_images_root(tables: Tables, settings: Settings) -> str:
    """Return the root of the images, which their relative paths do not have.

    That is `sources.images` if it is set, else the registered dataset that holds all images, else their common folder.
    Raises DataError if there are no images below it.
    """
    tables.require("images")
    images = tables.latest_images()
    if address := settings.sources.images:
        root = find_root(address)
        if root is None or not images.where(F.col("path").startswith(root)).head(1):
            raise DataError(
                f"sources.images = {address.partition('?')[0]}: no image of {tables.workspace} is below it. Give the "
                "folder that was ingested, or leave it out to choose all images."
            )
        return root
    first, last = images.agg(F.min("path"), F.max("path")).first()
    if first is None:
        raise DataError(f"{tables.workspace} has no images. Run `irbis ingest --images DIR` first.")
    common = _common_folder(first, last)
    if not common.partition("://")[2]:
        raise DataError(
            f"The images are in several stores, such as {first} and {last}. Choose one: --images DIR or --dataset NAME."
        )
    registered = [row["root"] for row in tables.read("datasets").select("root").collect()]
    return max((root for root in registered if common.startswith(root)), key=len, default=common)


def _common_folder(first: str, last: str) -> str:
    """Return the common folder of all paths, of which these two are the first and the last in order."""
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first.rfind("/", 0, count) + 1]


def export_rows(tables: Tables, settings: Settings, root: str) -> tuple[DataFrame, list[str]]:
    """Return EXPORT_ROWS of all current images below a root, and notes for the user."""
    images = tables.latest_images().where(F.col("path").startswith(root))
    details = ("reviewer", "reviewed_at", "comment")
    rows = labelled_by_people(tables, images, settings.sources.label_case, details)
    predictions, notes = read_predictions(tables, settings)
    undecodable = tables.read("features").where("failure is not null").groupBy("content_hash")
    rows = rows.join(predictions, ["path", "content_hash"], "left")
    rows = rows.join(undecodable.agg(F.first("failure").alias("decoding_failure")), "content_hash", "left")
    is_scored = F.col("predicted").isNotNull()
    derived = {
        "relative_path": F.expr(f"substring(path, {len(root) + 1})"),
        "failure": F.coalesce(
            "failure", F.when(is_scored, F.col("predicted.failure")).otherwise(F.col("decoding_failure"))
        ),
        "is_unknown": F.coalesce((F.col("label_source") == FROM_PERSON) & F.col("label").isNull(), F.lit(False)),
        "prediction": F.col("predicted.burst_prediction"),
        "score": F.col("predicted.burst_score"),
        "image_prediction": F.col("predicted.prediction"),
        "image_score": F.col("predicted.score"),
    } | {
        name: F.col(f"predicted.{name}")
        for name in ("probabilities", "needs_review", "model_name", "model_version", "scored_at")
    }
    columns = [derived.get(name, F.col(name)).cast(kind).alias(name) for name, kind in COLUMNS.items()]
    return rows.select(*columns), notes


def read_predictions(tables: Tables, settings: Settings) -> tuple[DataFrame, list[str]]:
    """Return path, content_hash and a struct `predicted` of one version: the champion, else that which scored last."""
    predictions = tables.read("predictions")
    others = [name for name in predictions.columns if name not in ("path", "content_hash", "burst_id")]
    keyed = predictions.select("path", "content_hash", F.struct(*others).alias("predicted"))
    version = find_version(settings)
    wanted = settings.score.model_version
    if version is None and wanted != "champion":
        raise ModelError(f"Model {settings.tracking.model} has no version {wanted}. `irbis status` lists the versions.")
    if version:
        of_version = keyed.where(F.col("predicted.model_name") == version.name)
        of_version = of_version.where(F.col("predicted.model_version") == version.version)
        if of_version.head(1):
            return of_version, []
    last = predictions.agg(F.max(F.struct("scored_at", "model_name", "model_version")).alias("last")).first()["last"]
    if last is None:
        return keyed, ["no image has a prediction yet: run `irbis score` to export predictions."]
    name, number = last["model_name"], last["model_version"]
    reason = f"{version} has not scored the images yet" if version else "there is no champion"
    newest = keyed.where((F.col("predicted.model_name") == name) & (F.col("predicted.model_version") == number))
    return newest, [f"{reason}: the predictions are those of {name}/{number}."]


def select_rows(rows: DataFrame, filters: Filters) -> tuple[DataFrame, list[str]]:
    """Return the rows that the filters choose, and notes for the user. `rows` should be persisted.

    Raises DataError for a station or label that no row has, and if no row is left.
    """
    notes = []
    if filters.stations:
        _require_known("--station", filters.stations, rows, F.col("station"))
        rows = rows.where(F.col("station").isin(list(filters.stations)))
    if filters.labels:
        _require_known("--label", filters.labels, rows, exported_label())
        rows = rows.where(exported_label().isin(list(filters.labels)))
    if filters.is_reviewed is not None:
        rows = rows.where(F.coalesce(F.col("label_source") == FROM_PERSON, F.lit(False)) == filters.is_reviewed)
    if filters.since or filters.until:
        if count := rows.where("captured_at is null").count():
            notes.append(f"{pluralize(count, 'image')} without a time: left out by --since or --until.")
        rows = rows.where("captured_at is not null")
    if filters.since:
        rows = rows.where(F.col("captured_at") >= F.lit(_midnight(filters.since)))
    if filters.until:
        rows = rows.where(F.col("captured_at") < F.lit(_midnight(filters.until + timedelta(days=1))))
    if not rows.head(1):
        raise DataError("No image is left. Give fewer filters, or `irbis status` to see what there is.")
    return rows, notes


def _require_known(option: str, wanted: tuple[str, ...], rows: DataFrame, column: Column) -> None:
    known = rows.select(column.alias("name")).where("name is not null").distinct().collect()
    noun = option.lstrip("-")
    require_known_labels(option, wanted, [row["name"] for row in known], "image", noun)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
