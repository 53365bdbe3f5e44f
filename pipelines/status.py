"""Collect and format the status: table sizes, missing work of each stage, champion and challenger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import feature_id, required_feature_ids
from pipelines.config.settings import Settings
from pipelines.evaluation.split import SPLITS, labelled_images
from pipelines.reports.staleness import REPORT_PATH, is_up_to_date, report_fingerprint
from pipelines.sources.listing import list_images
from pipelines.sources.registry import open_source
from pipelines.stages.ingest.changes import diff_listing
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.files import read_text
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.labels import decisions_since, effective_images
from pipelines.workspace.pending import images_to_featurize, images_to_score
from pipelines.workspace.tables import Tables, count_failures


def collect_status(spark: SparkSession, settings: Settings) -> dict[str, Any]:
    """Return the status as a dictionary for JSON.

    Its keys are "workspace", "tables" (name -> counts), "missing" (stage -> count), "passed_over" (a sentence or
    None), "notes" (sentences), "champion" and "challenger" (a version or None). Decisions that are only in journals
    are first appended to the table labels.
    """
    tables = Tables.of(spark, settings)
    merge_journals(tables)
    tracking = Tracking.of(settings)
    champion, challenger = tracking.champion(), tracking.challenger()
    unread, passed_over = _source(tables, settings) if settings.sources.images else (None, None)
    return {
        "workspace": tables.workspace,
        "tables": {
            "images": _images(tables, settings),
            "features": _features(tables),
            "predictions": _predictions(tables),
            "labels": _labels(tables, tracking, champion),
        },
        "missing": ({} if unread is None else {"ingest": unread}) | _missing(tables, settings, tracking, champion),
        "passed_over": passed_over,
        "notes": journal_notes(tables.workspace),
        "champion": champion and _version_as_dict(champion),
        "challenger": challenger and _version_as_dict(challenger),
    }


def as_text(status: dict[str, Any]) -> str:
    """Return the status as aligned lines."""
    lines = [f"workspace    {status['workspace']}"]
    for name, counts in status["tables"].items():
        numbers = ", ".join(
            f"{value:,} {key.replace('_', ' ')}"
            for key, value in counts.items()
            if isinstance(value, int) and key != "bytes"
        )
        lines.append(f"{name:12} {numbers}; {counts['bytes'] / 2**20:,.1f} MB")
        lines += [f"{'':12}   {count:,} {failure}" for failure, count in counts["failures"].items()]
    for stage, count in status["missing"].items():
        lines.append(f"{stage:12} {count:,} to do" if count else f"{stage:12} nothing to do")
    if status["passed_over"]:
        lines.append(f"not read     {status['passed_over']}")
    lines += [f"note         {note}" for note in status["notes"]]
    champion = status["champion"]
    if champion is None:
        return "\n".join([*lines, "champion     none yet: run `irbis train`"])
    lines.append(f"champion     {champion['name']}/{champion['version']} on {champion['backbone']}")
    lines += [f"{'':12}   {name} {value:.3f}" for name, value in champion["metrics"].items() if value is not None]
    if champion["evaluation"] != "test":
        lines.append(f"{'':12}   figures of {champion['evaluation']}, not of a test split")
    if challenger := status["challenger"]:
        lines.append(f"challenger   {challenger['name']}/{challenger['version']} on {challenger['backbone']}")
        lines.append(f"{'':12}   {challenger['gate']}")
    return "\n".join(lines)


def _images(tables: Tables, settings: Settings) -> dict[str, Any]:
    rows = tables.read("images").count()
    current = effective_images(tables, settings.sources.label_case)
    paths, hashes, labelled = current.agg(F.count("*"), F.countDistinct("content_hash"), F.count("label")).first()
    return {
        "rows": rows,
        "paths": paths,
        "hashes": hashes,
        "labelled": labelled,
        "failures": count_failures(current),
        "bytes": tables.bytes_on_disk("images"),
    }


def _features(tables: Tables) -> dict[str, Any]:
    features = tables.read("features")
    rows, hashes = features.agg(F.count("*"), F.countDistinct("content_hash")).first()
    counted = features.groupBy("backbone").count().orderBy("backbone").collect()
    return {
        "rows": rows,
        "hashes": hashes,
        "failures": count_failures(features),
        "backbones": {row["backbone"]: row["count"] for row in counted},
        "bytes": tables.bytes_on_disk("features"),
    }


def _predictions(tables: Tables) -> dict[str, Any]:
    rows = tables.read("predictions").count()
    predictions = tables.read("predictions").join(tables.latest_images().select("path"), "path", "left_semi")
    paths, hashes = predictions.agg(F.countDistinct("path"), F.countDistinct("content_hash")).first()
    counted = predictions.groupBy("model_version").count().orderBy("model_version").collect()
    return {
        "rows": rows,
        "paths": paths,
        "hashes": hashes,
        "failures": count_failures(predictions),
        "model_versions": {row["model_version"]: row["count"] for row in counted},
        "bytes": tables.bytes_on_disk("predictions"),
    }


def _labels(tables: Tables, tracking: Tracking, champion: ModelVersion | None) -> dict[str, Any]:
    decisions = tables.read("labels")
    rows, hashes, reviewers = decisions.agg(
        F.count("*"), F.countDistinct("content_hash"), F.countDistinct("reviewer")
    ).first()
    since = _decisions_since(tables, tracking, champion).count() if champion else rows
    return {
        "rows": rows,
        "hashes": hashes,
        "reviewers": reviewers,
        "since_champion": since,
        "failures": {},
        "bytes": tables.bytes_on_disk("labels"),
    }


def _decisions_since(tables: Tables, tracking: Tracking, version: ModelVersion) -> DataFrame:
    """Return the decisions that the version was trained without."""
    known = tracking.params(version).get("table_version.labels")
    return decisions_since(tables, int(known) if known else None, version.created)


def _missing(tables: Tables, settings: Settings, tracking: Tracking, champion: ModelVersion | None) -> dict[str, int]:
    """Return the number of images that each stage after ingest would process."""
    backbone = feature_id(settings)
    never = ("", "", datetime.now(timezone.utc))
    of_version = (champion.name, champion.version, champion.created) if champion else never
    mark = report_fingerprint(tables, settings, champion.run_id if champion else None)
    up_to_date = is_up_to_date(read_text(tables, REPORT_PATH), mark)
    return {
        "featurize": images_to_featurize(tables, required_feature_ids(settings.featurize, backbone)).count(),
        "train": _count_untrained(tables, settings, tracking, backbone),
        "score": images_to_score(tables, *of_version, settings.score.review_rule).where("is_new").count(),
        "report": int(tables.exists("images") and not up_to_date),
    }


def _source(tables: Tables, settings: Settings) -> tuple[int, str | None]:
    """Return how many images ingest would read, and a sentence on the files that it would pass over."""
    source = open_source(settings)
    listing = list_images(tables, source, settings.sources)
    changes = diff_listing(tables, listing.files, settings.ingest, settings.images, source.root)
    return changes.new_count, listing.skipped_files.note(listing.count)


def _count_untrained(tables: Tables, settings: Settings, tracking: Tracking, backbone: str) -> int:
    """Count the images whose label the newest version on this backbone was not trained with; they have features.

    The newest, and not the champion: one that did not beat it has learned them all the same.
    """
    features = read_features(tables, backbone).where("features is not null").select("content_hash")
    current = effective_images(tables, settings.sources.label_case)
    labelled = labelled_images(current, settings.train.exclude_labels).join(features, "content_hash", "left_semi")
    count = labelled.count()
    newest = next((each for each in tracking.versions() if each.tags.get("backbone") == backbone), None)
    if newest is None:
        return count
    params = tracking.params(newest)
    trained = sum(int(params.get(f"rows.{split}", 0)) for split in (*SPLITS, "left_out"))
    since = _decisions_since(tables, tracking, newest).join(features, "content_hash", "left_semi")
    lost, changed = _count_changes(since, labelled, settings.train.exclude_labels)
    return max(0, count + lost - trained) + lost + changed


def _count_changes(since: DataFrame, labelled: DataFrame, excluded: Sequence[str]) -> tuple[int, int]:
    """Count the images that lost their label, and those that have another label, by the decisions `since`.

    The first of these decisions about an image says which label it had before. One that had none is a new image.
    """
    first = F.min(F.struct("reviewed_at", F.col("previous_label").alias("label"))).getField("label")
    before = since.groupBy("content_hash").agg(first.alias("before")).where("before is not null")
    before = before.where(~F.col("before").isin(list(excluded))) if excluded else before
    now = before.join(labelled.select("content_hash", "label"), "content_hash", "left")
    return now.agg(F.count(F.when(F.col("label").isNull(), 1)), F.count(F.when(F.expr("label <> before"), 1))).first()


def _version_as_dict(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "backbone": version.tags["backbone"],
        "classes": version.classes,
        "metrics": version.metrics,
        "evaluation": version.tags.get("evaluation", "test"),
        "gate": version.tags.get("gate", ""),
    }
