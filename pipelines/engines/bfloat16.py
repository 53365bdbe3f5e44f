"""Let a graph compute in bfloat16 the convolutions that can bear it.

bfloat16 keeps 8 of the 24 bits of single precision, and a processor that has it multiplies twice as many (Henry, Tang,
Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations", 2019). What
it costs an image's features differs a thousandfold between the convolutions of one network: each is tried alone on
images of formulas. Their errors add up, so that those are taken that save most for theirs, up to what is allowed.

OpenVINO leaves single what is marked as precise: all but those taken. A worker without bfloat16 ignores the marks.
OpenVINO 2025.4 does not heed all of them: what that loses counts too, so that nothing is taken there.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from xml.etree import ElementTree

import numpy as np

from pipelines.backbones.backbone import Features, Pixels
from pipelines.engines.graph import BFLOAT16_NOTE, Graph
from pipelines.engines.quantization.calibration_images import (
    calibration_images,
    compute_features,
    convolutions,
    cosine_similarities,
    count_macs,
)

_TRIED, _HELD_OUT = 12, 28  # images: to try each convolution alone, and all that were taken together
_SURE = 1.5  # images held out may lose as many times what is allowed
# Least share to take of the multiplications in single precision: what passes between precisions is converted.
_WORTH = 0.2
_UNMARKED = ("Parameter", "Const", "Result")


def enable_bfloat16(graph: Graph, reference: Any, side: int, allowed: float) -> Graph:
    """Give the graph with marks, by which its features lose `allowed` of their mean cosine with the reference's.

    The same graph if nothing can be taken. Needs a processor with bfloat16.
    """
    images = calibration_images(_TRIED + _HELD_OUT, side)
    expected = compute_features(reference, images)
    tried, unseen = (images[:_TRIED], expected[:_TRIED]), (images[_TRIED:], expected[_TRIED:])
    chosen = graph.with_marker(BFLOAT16_NOTE)
    if _lost(chosen, *tried) - _lost(graph, *tried) > allowed:
        taken = _bearable(graph, side, *tried, allowed)
        chosen = _marked(graph, taken) if taken else graph
    return chosen if _lost(chosen, *unseen) - _lost(graph, *unseen) <= _SURE * allowed else graph


def _bearable(graph: Graph, side: int, images: Pixels, expected: Features, allowed: float) -> Set[str]:
    """Give the convolutions to take, those first that save most for what they lose; none if it is not worth it."""
    model, base = graph.model(), _lost(graph, images, expected)
    work = count_macs(model, side)
    # The others compute in 8 bits, or have too few multiplications to be worth it.
    tried = [node.get_friendly_name() for node in convolutions(model) if node.get_type_name() == "Convolution"]
    lost = {name: max(_lost(_marked(graph, {name}), images, expected) - base, 0.0) for name in tried}
    taken, total = set[str](), 0.0
    for name in sorted(lost, key=lambda each: lost[each] / work[each]):
        if total + lost[name] <= allowed:
            taken.add(name)
            total += lost[name]
    return taken if sum(work[name] for name in taken) >= _WORTH * sum(work[name] for name in tried) else set()


def _lost(graph: Graph, images: Pixels, expected: Features) -> float:
    """Give how far below 1 the mean cosine is; of a graph without the note in single precision."""
    found = compute_features(graph.model(), images, "bf16" if graph.has_bfloat16 else "f32")
    return float(1 - cosine_similarities(found.astype(np.float64), expected.astype(np.float64)).mean())


def _marked(graph: Graph, taken: Set[str]) -> Graph:
    """Give the graph with everything marked as precise but the layers taken."""
    root = ElementTree.fromstring(graph.xml)
    for layer in root.iter("layer"):
        if layer.get("type") in _UNMARKED or layer.get("name") in taken:
            continue
        marks = layer.find("rt_info")
        if marks is None:
            marks = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, marks)
        ElementTree.SubElement(marks, "attribute", {"name": "precise", "version": "0"})
    return Graph(ElementTree.tostring(root), graph.bin).with_marker(BFLOAT16_NOTE)
