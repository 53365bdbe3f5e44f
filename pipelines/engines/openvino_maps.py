"""OpenVINO with the maps before pooling as additional outputs. The stored graph, and the features, do not change."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.backbones import Backbone
from pipelines.backbones.registry import get_architecture
from pipelines.engines.map_engine import MappedFeatures, require_maps
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.errors import PlatformError
from pipelines.explanation.contributions import LayerNorm

_POOLINGS = ("ReduceMean", "AvgPool", "AdaptiveAvgPool")
_LAYERS = ("Convolution", "GroupConvolution", "MatMul")  # beyond the last of them there is no pooling of the features


class OpenVinoMapEngine(OpenVinoEngine):
    """The engine of a graph whose pooled tensors are added to its outputs when it is loaded."""

    norm: LayerNorm | None = None

    def _adapt(self, model: Any, backbone: Backbone) -> None:
        pooling = require_maps(backbone)
        nodes = _between_maps_and_features(model)
        pooled = [node.input_value(0) for node in nodes if node.get_type_name() in _POOLINGS]
        if pooling == "mean_std":  # each map is pooled to its mean, then the squares of its deviations
            pooled = pooled[::2]
        if len(pooled) != len(get_architecture(backbone.name).map_layers):
            raise PlatformError(
                f"The maps of {backbone.name} are not found in its graph of this version of OpenVINO. "
                "Set featurize.engine to torch, and report this."
            )
        if pooling == "mean_norm":
            self.norm = _read_norm(nodes, pooled[0].get_partial_shape()[1].get_length())
        model.add_outputs(pooled)

    def compute_maps(self, pixels: np.ndarray[Any, Any]) -> MappedFeatures:
        """Return features and maps of the images, in their order."""
        outputs: list[list[np.ndarray[Any, Any]]] = []
        for start in range(0, len(pixels), self.images_per_request):
            part = pixels[start : start + self.images_per_request]
            features = self._run(part)
            count = len(self._compiled.outputs)
            layers = [self._request.get_output_tensor(i).data[: len(part)].copy() for i in range(1, count)]
            outputs.append([features, *layers])
        features, *layers = map(np.concatenate, zip(*outputs, strict=True))
        return MappedFeatures(features, tuple(layers))


def _between_maps_and_features(model: Any) -> list[Any]:
    """Return the nodes from the result back to the poolings, these included, in the order of their inputs."""
    found: dict[str, Any] = {}

    def visit(node: Any) -> None:
        name = node.get_friendly_name()
        if name in found or node.get_type_name() in _LAYERS:
            return
        found[name] = node
        if node.get_type_name() not in _POOLINGS:
            for value in node.inputs():
                visit(value.get_source_output().get_node())

    visit(model.get_results()[0])
    return list(found.values())


def _read_norm(nodes: list[Any], channels: int) -> LayerNorm:
    """Return the LayerNorm between pooling and features: its scale is multiplied, its shift added last."""
    parameters: dict[str, np.ndarray[Any, Any]] = {}
    for node in nodes:  # from the result backwards: the last addition and multiplication come first
        kind = node.get_type_name()
        for value in node.input_values():
            constant = value.get_node()
            is_parameter = constant.get_type_name() == "Constant" and constant.get_element_type().is_real()
            if kind in ("Add", "Multiply") and is_parameter and kind not in parameters:
                data = constant.get_data()
                if data.size == channels:
                    parameters[kind] = data.reshape(-1).astype(np.float64)
    if set(parameters) != {"Add", "Multiply"}:
        raise PlatformError("The LayerNorm after the maps is not found in the graph. Set featurize.engine to torch.")
    return LayerNorm(parameters["Multiply"], parameters["Add"])
