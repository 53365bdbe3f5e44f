"""From a torch network to OpenVINO's graph, with the normalisation inside."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import openvino as ov
import torch
from openvino import opset1
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from pipelines.backbones import Backbone
from pipelines.backbones.registry import get_architecture
from pipelines.backbones.torch_models import load_model, normalisation
from pipelines.engines.bfloat16 import enable_bfloat16
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import VNNI_NOTE, Graph

_LOST = {"exact": 2e-5, "fast": 2e-4}  # of the mean cosine, by bfloat16: a fifth of what an image may lose in exact


class _FromPixels(nn.Module):
    """Run a network on uint8 pixels as decoded: height, width, then colour.

    Normalised before the axes change places, so that OpenVINO never moves the pixels: it computes channels last too.
    And whole rows at a time, as three values are too few for a vector.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.network = network
        mean, std = normalisation(backbone.preprocessing, "cpu")
        self.side = backbone.preprocessing.size
        self.register_buffer("mean", mean.flatten().repeat(self.side))
        self.register_buffer("scale", (1 / std).flatten().repeat(self.side))

    def forward(self, pixels: Tensor) -> Any:
        rows = (pixels.float().flatten(2) - self.mean) * self.scale
        return self.network(rows.unflatten(2, (self.side, 3)).permute(0, 3, 1, 2))


def convert_to_openvino(backbone: Backbone, folder: Path) -> Graph:
    """Give the graph of the cut network, written to graph.xml and graph.bin in `folder`.

    Of a backbone with precision fast, it computes in 8 bits. Raises WeightsError if the weights do not fit.
    """
    network = get_architecture(backbone.name).remove_head(load_model(backbone)).eval()
    side = backbone.preprocessing.size
    model = _to_openvino(_FromPixels(network, backbone).eval(), torch.zeros(2, side, side, 3, dtype=torch.uint8))
    model.reshape([-1, side, side, 3])
    _drop_indices(model)
    apply_moc_transformations(model, cf=False)  # folds batch normalisation into the weights
    chosen = model
    if backbone.precision == "fast":
        from pipelines.engines.quantization.quantize import quantize

        chosen = quantize(model, backbone.preprocessing, all_bits=cpu_has_vnni())
    target = folder / "graph.xml"
    ov.save_model(chosen, target, compress_to_fp16=False)
    graph = Graph(target.read_bytes(), target.with_suffix(".bin").read_bytes())
    if cpu_has_bfloat16():
        graph = enable_bfloat16(graph, model, side, _LOST[backbone.precision])
    if chosen is not model and cpu_has_vnni():
        graph = graph.with_marker(VNNI_NOTE)
    target.write_bytes(graph.xml)
    return graph


def _to_openvino(network: nn.Module, example: Tensor) -> Any:
    """Do what `openvino.convert_model` does, without the reports on usage that it sends."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of its own future, which is OpenVINO's to care for
        decoder = TorchScriptPythonDecoder(network, example_input=example)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def _drop_indices(model: Any) -> None:
    """Replace poolings that also give where each maximum stood, as torch's do: nothing asks, and it takes as long."""
    for node in model.get_ordered_ops():
        given = node.get_attributes()
        if node.get_type_name() != "MaxPool" or set(given["dilations"]) != {1} or node.output(1).get_target_inputs():
            continue
        rounding = given["rounding_type"]
        if rounding == "ceil_torch":  # differs from ceil only where a window would begin in the padding
            if any(given["pads_end"]):
                continue
            rounding = "ceil"
        window = (given["strides"], given["pads_begin"], given["pads_end"], given["kernel"])
        plain = opset1.max_pool(node.input_value(0), *window, rounding, given["auto_pad"])
        node.output(0).replace(plain.output(0))
    model.validate_nodes_and_infer_types()
