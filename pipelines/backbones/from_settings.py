"""The backbones in the settings: one, or several whose features are concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.backbones.backbone import Backbone, load_backbone
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.weights import find_local_weights
from pipelines.errors import SettingsError
from pipelines.feature_ids import ID_SEPARATOR, MOTION_STATISTICS, flipped_id, view_feature_id

if TYPE_CHECKING:
    from pipelines.config.settings import Featurize, Settings


def backbones_from_settings(settings: Settings, *, check: bool = True) -> tuple[Backbone, ...]:
    """Return the backbones in the settings, in their order, each with its weights.

    Without `check` the weights are not loaded into the networks. Raises SettingsError for invalid names, WeightsError
    for missing or unusable weights.
    """
    featurize, images = settings.featurize, settings.images
    return tuple(
        load_backbone(
            name,
            weights=featurize.weights,
            cache=featurize.weights_cache,
            allowed_sha256=featurize.weights_sha256,
            max_pixels=images.max_pixels,
            max_seconds=images.max_seconds,
            precision=featurize.precision,
            resize_mode=images.resize_mode,
            size=images.size,
            crop_bottom=images.crop_bottom,
            check=check,
        )
        for name in _parse_names(featurize)
    )


def feature_id(settings: Settings) -> str:
    """Return the id of the features in the settings: the feature ids of all views and backbones, joined by +."""
    return joined_feature_id(settings.featurize, backbones_from_settings(settings, check=False))


def joined_feature_id(settings: Featurize, backbones: Sequence[Backbone]) -> str:
    """Return the feature ids of the backbones for each view of featurize.views, joined by +: the whole image first."""
    return ID_SEPARATOR.join(
        view_feature_id(backbone.feature_id, view)
        for view in settings.views
        for backbone in (backbones[:1] if view == MOTION_STATISTICS else backbones)  # the same for all
    )


def required_feature_ids(settings: Featurize, feature_id: str) -> str:
    """Return the feature ids to compute, joined by +: with featurize.horizontal_flip, of the flipped images too."""
    return ID_SEPARATOR.join((feature_id, flipped_id(feature_id))) if settings.horizontal_flip else feature_id


def resolve_weights_files(settings: Featurize) -> list[Path]:
    """Return the weights files of the settings, without those not found locally. Downloads and reads nothing."""
    if settings.weights:
        return [Path(settings.weights).expanduser()]
    names = [name.strip() for name in settings.backbone.split(ID_SEPARATOR)]
    return [path for name in names if (path := find_local_weights(name, settings.weights_cache))]


def _parse_names(featurize: Featurize) -> list[str]:
    """Return the names of the backbones. Raises SettingsError for unknown or repeated names.

    One weights file cannot belong to several backbones, so featurize.weights must then be null.
    """
    names = [name.strip() for name in featurize.backbone.split(ID_SEPARATOR)]
    if len(names) == 1:
        return names
    setting = f"featurize.backbone = {featurize.backbone}"
    if not all(names):
        raise SettingsError(
            f"{setting}: a name is missing beside a {ID_SEPARATOR}. Write squeezenet1_1{ID_SEPARATOR}mobilenet_v2."
        )
    for name in names:
        get_architecture(name)
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise SettingsError(f"{setting}: {', '.join(repeated)} is repeated, which adds nothing. Name each once.")
    if featurize.weights:
        raise SettingsError(
            f"featurize.weights = {featurize.weights}: a file belongs to one backbone, but {setting}. Set it to null, "
            f"and put the files into {featurize.weights_cache} (featurize.weights_cache) under names that begin with "
            "the backbones'."
        )
    return names
