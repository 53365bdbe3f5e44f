"""Pretrained networks that turn pictures into features. Needs torch, but only where features are made; no Spark."""

from pipelines.models.backbones.backbone import Backbone, Embedding, backbone_of, load_backbone
from pipelines.models.backbones.catalog import ARCHITECTURES

__all__ = ["ARCHITECTURES", "Backbone", "Embedding", "backbone_of", "load_backbone"]
