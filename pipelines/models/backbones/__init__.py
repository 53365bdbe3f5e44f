"""Pretrained networks that turn pictures into features. Needs torch, but only where features are made; no Spark."""

from pipelines.models.backbones.backbone import Backbone, Embedding, load_backbone
from pipelines.models.backbones.catalog import ARCHITECTURES
from pipelines.models.backbones.chosen import backbones_of, identity_of, wanted_of, weights_files

__all__ = [
    "ARCHITECTURES",
    "Backbone",
    "Embedding",
    "backbones_of",
    "identity_of",
    "load_backbone",
    "wanted_of",
    "weights_files",
]
