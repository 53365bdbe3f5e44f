"""Reduce the precision of a graph where this processor gains by it and the features lose little: 8 bits, bfloat16.

Needs no torch: a graph that ships with the package is prepared for each processor where it runs.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.backbones import Backbone
from pipelines.engines.bfloat16 import enable_bfloat16
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import VNNI_MARKER, Graph, graph_from_model

# Largest drop of the mean cosine by bfloat16; in `exact`, a fifth of the tolerance for a single image.
_BFLOAT16_MAX_LOSS = {"exact": 2e-5, "fast": 2e-4}


def reduce_precision(graph: Graph, backbone: Backbone, folder: Path) -> Graph:
    """Return a graph in single precision as this processor runs it; `folder` is for temporary files.

    With precision `fast`, convolutions compute in 8 bits.
    """
    model, is_quantized = graph.to_model(), False
    reduced = graph
    if backbone.precision == "fast":
        from pipelines.engines.quantization.quantize import quantize

        quantized = quantize(model, backbone.preprocessing, all_bits=cpu_has_vnni())
        if is_quantized := quantized is not model:
            reduced = graph_from_model(quantized, folder)
    if cpu_has_bfloat16():
        reduced = enable_bfloat16(reduced, model, backbone.preprocessing.size, _BFLOAT16_MAX_LOSS[backbone.precision])
    return reduced.with_marker(VNNI_MARKER) if is_quantized and cpu_has_vnni() else reduced
