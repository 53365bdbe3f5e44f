"""Read from a model version how each class depends on the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.sql import functions as F

from pipelines.backbones import Backbone, backbones_from_settings
from pipelines.classifiers.linear_head import read_linear_head
from pipelines.classifiers.predict import load_model
from pipelines.config.settings import Settings
from pipelines.engines.map_engine import has_maps, require_maps
from pipelines.errors import DataError, ModelError
from pipelines.evaluation.review_policy import ReviewPolicy, is_blank
from pipelines.explanation.head import LinearHead, fit_surrogate
from pipelines.feature_ids import (
    MOTION_STATISTICS,
    backbone_names,
    featurize_options,
    is_statistics,
    region_view,
    split_ids,
)
from pipelines.formatting import pluralize
from pipelines.stages.explain.explainer import Explainer
from pipelines.stages.explain.pending import scored_images
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.features import read_features
from pipelines.workspace.regions import region_views
from pipelines.workspace.tables import Tables

MAX_SURROGATE_ROWS, MAX_SURROGATE_VALUES = 5_000, 20_000_000  # images, and their feature values, on the driver
MIN_SURROGATE_ROWS = 10


def build_explainer(
    tables: Tables, settings: Settings, tracking: Tracking, version: ModelVersion
) -> tuple[Explainer, list[str]]:
    """Return the explainer of a version, and notes for the user. Raises ModelError if its features have no maps."""
    matched = match_backbones(version, backbones_from_settings(settings, check=False))
    backbones = [backbone for backbone in matched if has_maps(backbone)] or [matched[0]]
    poolings = {require_maps(backbone) for backbone in backbones}
    head = read_linear_head(load_model(tracking, version))
    method, notes = "exact" if poolings == {"mean"} else "up_to_scale", list[str]()
    if head is None:
        head, note = _fit_surrogate(tables, version)
        method, notes = "surrogate", [note]
    without = [backbone.name for backbone in matched if backbone not in backbones]
    if any(map(is_statistics, split_ids(version.tags["backbone"]))):
        without.append(MOTION_STATISTICS)
    if without:
        method = "partial"
        head = _select_features(head, tables, version, backbones)
        notes.append(f"the boxes show what {version} sees without {', '.join(without)}, whose features have no maps.")
    blank = [i for i, name in enumerate(version.classes) if is_blank(name)]
    explained = [i for i in range(len(version.classes)) if i not in blank] or blank
    directions = head.contrasts(blank).coefficients.astype(np.float32)
    average_flip = ReviewPolicy.from_json(version.tags.get("review_policy")).average_flip
    views = tuple(view for view in region_views(version.tags["backbone"]) if not is_statistics(view))
    explainer = Explainer(
        tuple(backbones), tuple(version.classes), tuple(explained), directions, method, average_flip, views
    )
    return explainer, notes


def match_backbones(version: ModelVersion, backbones: Sequence[Backbone]) -> tuple[Backbone, ...]:
    """Return the backbone of each part of the version's features that is of whole images, in order; they come first.

    Raises ModelError for a part of another backbone than those in the settings.
    """
    required, known = version.tags["backbone"], {backbone.feature_id: backbone for backbone in backbones}
    whole = [part for part in split_ids(required) if region_view(part) is None]
    unknown = [part for part in whole if part not in known]
    if unknown:
        raise ModelError(
            f"Model {version} uses features of {', '.join(unknown)}, which cannot be explained: the settings say "
            f"{', '.join(known)}. Explain with --backbone {backbone_names(required)}, the same weights and images "
            "settings, or choose another version (--set score.model_version=N)."
        )
    return tuple(known[part] for part in whole)


def _select_features(
    head: LinearHead, tables: Tables, version: ModelVersion, backbones: Sequence[Backbone]
) -> LinearHead:
    """Return the head on the features of these backbones alone, of all views that they see."""
    ids, columns, start = [backbone.feature_id for backbone in backbones], list[int](), 0
    features = tables.read("features").where("features is not null")
    for part in split_ids(version.tags["backbone"]):
        row = features.where(F.col("backbone") == part).select(F.size("features")).first()
        width = row[0] if row else 0
        if not is_statistics(part) and any(part == each or part.startswith(f"{each}/") for each in ids):
            columns += range(start, start + width)
        start += width
    if start != head.coefficients.shape[1]:
        raise DataError(
            f"{version} uses {head.coefficients.shape[1]} features, of which {start} are stored. Run `irbis featurize "
            f"{featurize_options(version.tags['backbone'])}` first."
        )
    return LinearHead(head.coefficients[:, columns], head.intercepts)


def _fit_surrogate(tables: Tables, version: ModelVersion) -> tuple[LinearHead, str]:
    """Return a linear head fitted to the version's predictions of up to MAX_SURROGATE_ROWS images, and a note."""
    features = read_features(tables, version.tags["backbone"]).where("features is not null")
    scored = scored_images(tables, version).where("scores[0] is not null").select("content_hash", "scores")
    rows = features.join(scored.dropDuplicates(["content_hash"]), "content_hash")
    width = rows.select(F.size("features")).first()
    limit = min(MAX_SURROGATE_ROWS, MAX_SURROGATE_VALUES // max(width[0], 1)) if width else 0
    table = rows.orderBy(F.xxhash64("content_hash")).limit(limit).select("features", "scores").toPandas()
    if len(table) < MIN_SURROGATE_ROWS:
        raise DataError(
            f"{version} is not linear, and has scored only {pluralize(len(table), 'image')}: too few to fit a linear "
            f"surrogate ({MIN_SURROGATE_ROWS} are needed). Score more images first."
        )
    stack = np.stack(table["features"].tolist()).astype(np.float32)
    surrogate = fit_surrogate(stack, np.stack(table["scores"].tolist()).astype(np.float64))
    kind = version.tags.get("learner", "unknown")
    return surrogate.head, (
        f"the classifier of {version} ({kind}) is not linear: the boxes are those of a linear surrogate, which "
        f"explains {max(surrogate.fidelity, 0):.0%} of the variance of its log-probabilities."
    )
