"""Pretrained networks that turn pictures into features. Needs torch, not Spark."""

from pipelines.models.backbones.backbone import Backbone, Embedding, backbone_of, full_network, load_backbone
from pipelines.models.backbones.catalog import ARCHITECTURES

__all__ = ["ARCHITECTURES", "Backbone", "Embedding", "backbone_of", "full_network", "load_backbone"]
