"""Pretrained networks that turn pictures into features. Needs torch, not Spark."""

from pipelines.models.backbones.backbone import Backbone, Embedding, backbone_of, full_network, load_backbone
from pipelines.models.backbones.catalog import ARCHITECTURES
from pipelines.models.backbones.devices import gpu_names, resolve_device

__all__ = [
    "ARCHITECTURES",
    "Backbone",
    "Embedding",
    "backbone_of",
    "full_network",
    "gpu_names",
    "load_backbone",
    "resolve_device",
]
