"""Convert a torch network to an OpenVINO graph that includes the normalisation of pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from openvino import opset1
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from pipelines.backbones import Backbone
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.torch_models import get_mean_std, load_model
from pipelines.engines.graph import Graph, graph_from_model


class _FromPixels(nn.Module):
    """A network that takes uint8 pixels as decoded, in channels-last order.

    Pixels are normalised before the axes are permuted, so that OpenVINO, which computes channels last too, never moves
    them; and by whole rows, as three values are too few for a vector unit.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.network = network
        mean, std = get_mean_std(backbone.preprocessing, "cpu")
        self.side = backbone.preprocessing.size
        self.register_buffer("mean", mean.flatten().repeat(self.side))
        self.register_buffer("scale", (1 / std).flatten().repeat(self.side))

    def forward(self, pixels: Tensor) -> Any:
        rows = (pixels.float().flatten(2) - self.mean) * self.scale
        return self.network(rows.unflatten(2, (self.side, 3)).permute(0, 3, 1, 2))


def convert_to_openvino(backbone: Backbone, folder: Path) -> Graph:
    """Return the graph of the network without its classifier, in single precision; it is saved in `folder`.

    Raises WeightsError if the weights do not fit.
    """
    network = get_architecture(backbone.name).remove_head(load_model(backbone)).eval()
    side = backbone.preprocessing.size
    model = _trace(_FromPixels(network, backbone).eval(), torch.zeros(2, side, side, 3, dtype=torch.uint8))
    model.reshape([-1, side, side, 3])
    _drop_pooling_indices(model)
    apply_moc_transformations(model, cf=False)  # folds batch normalisation into the weights
    return graph_from_model(model, folder)


def _trace(network: nn.Module, example: Tensor) -> Any:
    """Convert as `openvino.convert_model` does, without the telemetry that it sends."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation of tracing, which OpenVINO has to handle
        decoder = TorchScriptPythonDecoder(network, example_input=example)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def _drop_pooling_indices(model: Any) -> None:
    """Replace max poolings that also return indices, as torch's do: unused indices double the time."""
    for node in model.get_ordered_ops():
        attributes = node.get_attributes()
        is_plain = node.get_type_name() == "MaxPool" and set(attributes["dilations"]) == {1}
        if not is_plain or node.output(1).get_target_inputs():
            continue
        rounding = attributes["rounding_type"]
        if rounding == "ceil_torch":  # differs from ceil only where a window would begin in the padding
            if any(attributes["pads_end"]):
                continue
            rounding = "ceil"
        window = (attributes["strides"], attributes["pads_begin"], attributes["pads_end"], attributes["kernel"])
        plain = opset1.max_pool(node.input_value(0), *window, rounding, attributes["auto_pad"])
        node.output(0).replace(plain.output(0))
    model.validate_nodes_and_infer_types()
