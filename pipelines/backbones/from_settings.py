"""The backbones that the settings name: one, or several whose features stand side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.backbones.backbone import Backbone, load_backbone
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.weights import find_local_weights
from pipelines.errors import SettingsError
from pipelines.schemas import ID_SEPARATOR, flipped_id

if TYPE_CHECKING:
    from pipelines.config.settings import Featurize, Settings


def backbones_from_settings(settings: Settings, *, check: bool = True) -> tuple[Backbone, ...]:
    """Give the backbones that the settings name, in their order, each with its weights.

    Without `check` the weights are only named. Raises SettingsError for names that do not fit, WeightsError.
    """
    chosen, images = settings.featurize, settings.images
    return tuple(
        load_backbone(
            name,
            weights=chosen.weights,
            cache=chosen.weights_cache,
            listed=chosen.weights_sha256,
            max_pixels=images.max_pixels,
            max_seconds=images.max_seconds,
            precision=chosen.precision,
            resize_mode=images.resize_mode,
            size=images.size,
            crop_bottom=images.crop_bottom,
            check=check,
        )
        for name in _names(chosen)
    )


def feature_id(settings: Settings) -> str:
    """Give what names the features that the settings ask for: the backbones' identities, joined by +."""
    return ID_SEPARATOR.join(each.feature_id for each in backbones_from_settings(settings, check=False))


def required_feature_ids(settings: Featurize, identity: str) -> str:
    """Give what names all features to be made: of this identity, and with featurize.horizontal_flip of flipped images too."""
    return ID_SEPARATOR.join((identity, flipped_id(identity))) if settings.horizontal_flip else identity


def resolve_weights_files(settings: Featurize) -> list[Path]:
    """Give the files of weights that the settings come to, as far as they are there: nothing is downloaded or read."""
    if settings.weights:
        return [Path(settings.weights).expanduser()]
    found = (find_local_weights(name.strip(), settings.weights_cache) for name in settings.backbone.split(ID_SEPARATOR))
    return [path for path in found if path]


def _names(chosen: Featurize) -> list[str]:
    """Give the names, each known and there once; several take their weights from where each finds its own."""
    names = [name.strip() for name in chosen.backbone.split(ID_SEPARATOR)]
    if len(names) == 1:
        return names
    said = f"featurize.backbone = {chosen.backbone}"
    if not all(names):
        raise SettingsError(
            f"{said}: beside a {ID_SEPARATOR} a name is missing. Write squeezenet1_1{ID_SEPARATOR}mobilenet_v2."
        )
    for name in names:
        get_architecture(name)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise SettingsError(f"{said}: {', '.join(twice)} stands there twice, which adds nothing. Name each once.")
    if chosen.weights:
        raise SettingsError(
            f"featurize.weights = {chosen.weights}: a file is of one backbone, and {said}. Set it to null, and put "
            f"the files into {chosen.weights_cache} (featurize.weights_cache) under names that begin with the "
            "backbones'."
        )
    return names
