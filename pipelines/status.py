"""Collect and format the status: table sizes, missing work of each stage, champion and challenger."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pyspark.sql import SparkSession
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
from pipelines.workspace.pending import images_to_featurize, images_to_score
from pipelines.workspace.tables import Tables, count_failures


def collect_status(spark: SparkSession, settings: Settings) -> dict[str, Any]:
    """Return the status as a dictionary for JSON.

    Its keys are "workspace", "tables" (name -> counts), "missing" (stage -> count), "passed_over" (a sentence or
    None), "champion" and "challenger" (a version or None).
    """
    tables = Tables.of(spark, settings)
    tracking = Tracking.of(settings)
    champion, challenger = tracking.champion(), tracking.challenger()
    unread, passed_over = _source(tables, settings) if settings.sources.images else (None, None)
    return {
        "workspace": tables.workspace,
        "tables": {"images": _images(tables), "features": _features(tables), "predictions": _predictions(tables)},
        "missing": ({} if unread is None else {"ingest": unread}) | _missing(tables, settings, tracking, champion),
        "passed_over": passed_over,
        "champion": champion and _version_as_dict(champion),
        "challenger": challenger and _version_as_dict(challenger),
    }


def as_text(status: dict[str, Any]) -> str:
    """Return the status as aligned lines."""
    lines = [f"workspace    {status['workspace']}"]
    for name, counts in status["tables"].items():
        numbers = ", ".join(
            f"{value:,} {key}" for key, value in counts.items() if isinstance(value, int) and key != "bytes"
        )
        lines.append(f"{name:12} {numbers}; {counts['bytes'] / 2**20:,.1f} MB")
        lines += [f"{'':12}   {count:,} {failure}" for failure, count in counts["failures"].items()]
    for stage, count in status["missing"].items():
        lines.append(f"{stage:12} {count:,} to do" if count else f"{stage:12} nothing to do")
    if status["passed_over"]:
        lines.append(f"not read     {status['passed_over']}")
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


def _images(tables: Tables) -> dict[str, Any]:
    rows = tables.read("images").count()
    current = tables.latest_images()
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
        "score": images_to_score(tables, *of_version).where("is_new").count(),
        "report": int(tables.exists("images") and not up_to_date),
    }


def _source(tables: Tables, settings: Settings) -> tuple[int, str | None]:
    """Return how many images ingest would read, and a sentence on the files that it would pass over."""
    source = open_source(settings)
    listing = list_images(tables, source, settings.sources)
    changes = diff_listing(tables, listing.files, settings.ingest, settings.images, source.root)
    return changes.new_count, listing.skipped_files.note(listing.count)


def _count_untrained(tables: Tables, settings: Settings, tracking: Tracking, backbone: str) -> int:
    """Count the labelled images with features beyond those of the newest version's training on this backbone.

    The newest, and not the champion: one that did not beat it has learned them all the same.
    """
    features = read_features(tables, backbone).where("features is not null")
    labelled = labelled_images(tables.latest_images(), settings.train.exclude_labels)
    count = labelled.join(features.select("content_hash"), "content_hash", "left_semi").count()
    newest = next((each for each in tracking.versions() if each.tags.get("backbone") == backbone), None)
    if newest is None:
        return count
    params = tracking.params(newest)
    return max(0, count - sum(int(params.get(f"rows.{split}", 0)) for split in (*SPLITS, "left_out")))


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
