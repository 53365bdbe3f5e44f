"""Choose which convolutions of a graph run in bfloat16, within a limit on the loss of cosine similarity.

bfloat16 keeps 8 of the 24 bits of single precision, and a processor with bfloat16 instructions multiplies twice as many
values per cycle (Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
computations", 2019). The loss in the features differs a thousandfold between the convolutions of one network, so each
is tried alone on synthetic images. The losses add up: convolutions are chosen by the work they save per loss, until
the allowed loss is reached.

OpenVINO keeps layers marked as precise in single precision: all except the chosen ones. A worker without bfloat16
ignores the marks. OpenVINO 2025.4 does not respect all of them: that loss counts too, so nothing is chosen there.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from xml.etree import ElementTree

import numpy as np

from pipelines.backbones.backbone import Features, Pixels
from pipelines.engines.graph import BFLOAT16_MARKER, Graph
from pipelines.engines.quantization.calibration_images import (
    calibration_images,
    compute_features,
    convolutions,
    cosine_similarities,
    count_macs,
)

_SEARCH_IMAGES, _HELD_OUT_IMAGES = 12, 28  # to try each convolution alone, and to verify the chosen ones together
_HELD_OUT_TOLERANCE = 1.5  # held-out images may lose this multiple of `max_loss`
# Smallest fraction of the multiplications that is worth it: values that pass between precisions are converted.
_MIN_WORK_FRACTION = 0.2
_UNMARKED_LAYERS = ("Parameter", "Const", "Result")


def enable_bfloat16(graph: Graph, reference: Any, side: int, max_loss: float) -> Graph:
    """Return the graph with bfloat16 enabled where the mean cosine with the reference drops by at most `max_loss`.

    Returns the same graph if no convolution qualifies. Needs a processor with bfloat16.
    """
    images = calibration_images(_SEARCH_IMAGES + _HELD_OUT_IMAGES, side)
    expected = compute_features(reference, images)
    search = (images[:_SEARCH_IMAGES], expected[:_SEARCH_IMAGES])
    held_out = (images[_SEARCH_IMAGES:], expected[_SEARCH_IMAGES:])
    candidate = graph.with_marker(BFLOAT16_MARKER)
    if _measure_loss(candidate, *search) - _measure_loss(graph, *search) > max_loss:
        names = _choose_convolutions(graph, side, *search, max_loss)
        candidate = _mark_precise(graph, names) if names else graph
    loss = _measure_loss(candidate, *held_out) - _measure_loss(graph, *held_out)
    return candidate if loss <= _HELD_OUT_TOLERANCE * max_loss else graph


def _choose_convolutions(graph: Graph, side: int, images: Pixels, expected: Features, max_loss: float) -> Set[str]:
    """Return the names of the convolutions to run in bfloat16, greedily by least loss per work; none if too few."""
    model, base = graph.to_model(), _measure_loss(graph, images, expected)
    work = count_macs(model, side)
    # The other types compute in 8 bits, or have too few multiplications to be worth it.
    names = [node.get_friendly_name() for node in convolutions(model) if node.get_type_name() == "Convolution"]
    losses = {name: max(_measure_loss(_mark_precise(graph, {name}), images, expected) - base, 0.0) for name in names}
    chosen, total = set[str](), 0.0
    for name in sorted(losses, key=lambda name: losses[name] / work[name]):
        if total + losses[name] <= max_loss:
            chosen.add(name)
            total += losses[name]
    is_worthwhile = sum(work[name] for name in chosen) >= _MIN_WORK_FRACTION * sum(work[name] for name in names)
    return chosen if is_worthwhile else set()


def _measure_loss(graph: Graph, images: Pixels, expected: Features) -> float:
    """Return 1 minus the mean cosine with `expected`; a graph without the marker runs in single precision."""
    features = compute_features(graph.to_model(), images, "bf16" if graph.has_bfloat16 else "f32")
    return float(1 - cosine_similarities(features.astype(np.float64), expected.astype(np.float64)).mean())


def _mark_precise(graph: Graph, names: Set[str]) -> Graph:
    """Return the graph with all layers marked as precise except those named."""
    root = ElementTree.fromstring(graph.xml)
    for layer in root.iter("layer"):
        if layer.get("type") in _UNMARKED_LAYERS or layer.get("name") in names:
            continue
        marks = layer.find("rt_info")
        if marks is None:
            marks = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, marks)
        ElementTree.SubElement(marks, "attribute", {"name": "precise", "version": "0"})
    return Graph(ElementTree.tostring(root), graph.bin).with_marker(BFLOAT16_MARKER)
