"""Pretrained networks that turn images into features. torch is imported only to compute features; no Spark."""

from pipelines.backbones.backbone import Backbone, Embedding, load_backbone
from pipelines.backbones.from_settings import (
    backbones_from_settings,
    feature_id,
    joined_feature_id,
    required_feature_ids,
    resolve_weights_files,
)
from pipelines.backbones.registry import ARCHITECTURES

__all__ = [
    "ARCHITECTURES",
    "Backbone",
    "Embedding",
    "backbones_from_settings",
    "feature_id",
    "joined_feature_id",
    "load_backbone",
    "required_feature_ids",
    "resolve_weights_files",
]
