"""bfloat16: chosen by its loss, marked in the graph, and used only on processors that have it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.torch_models import reference_features
from pipelines.engines import Graph, bfloat16, graph_cache, load_or_convert, openvino_engine, reduced_precision
from pipelines.engines.conversion import convert_to_openvino
from pipelines.engines.cpu_features import cpu_has_bfloat16
from pipelines.engines.graph import BFLOAT16_MARKER
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.quantization.calibration_images import (
    calibration_images,
    compute_features,
    convolutions,
    cosine_similarities,
)

HAS_IT = cpu_has_bfloat16()
# On a processor without bfloat16 OpenVINO takes the hint and ignores it; where only oneDNN is limited, it fails.
needs_no_limit = pytest.mark.skipif(
    bool(os.environ.get("ONEDNN_MAX_CPU_ISA")) and not HAS_IT,
    reason="ONEDNN_MAX_CPU_ISA: OpenVINO compiles nothing for bfloat16",
)


@pytest.fixture
def backbone() -> Backbone:
    return load_backbone("irbis_tiny")


@pytest.fixture
def plain(backbone, tmp_path) -> Graph:
    """Return the graph in single precision."""
    return convert_to_openvino(backbone, tmp_path)


def names_of(graph: Graph, *, precise: bool) -> set[str]:
    """Return the computing layers, either the marked or the unmarked ones."""
    layers = list(ElementTree.fromstring(graph.xml).iter("layer"))
    computing = [each for each in layers if each.get("type") not in ("Parameter", "Const", "Result")]
    marked = [each for each in computing if each.find("rt_info/attribute[@name='precise']") is not None]
    return {str(each.get("name")) for each in computing if (each in marked) == precise}


def test_those_that_save_most_for_what_they_lose_are_taken_until_it_is_spent(plain, monkeypatch) -> None:
    work = {"a": 100.0, "b": 80.0, "c": 60.0, "d": 10.0, "in 8 bits": 5000.0, "depthwise": 50.0}
    loses = {"a": 9e-6, "b": 4e-6, "c": 15e-6, "d": 2e-6}

    def lost(graph: Any, *_: Any) -> float:
        return 1e-3 + sum(loses[name] for name in (() if graph is plain else graph))

    class Node:
        def __init__(self, name: str) -> None:
            self.get_friendly_name = lambda: name
            self.get_type_name = lambda: "GroupConvolution" if name == "depthwise" else "Convolution"

    monkeypatch.setattr(bfloat16, "count_macs", lambda *_: work)
    monkeypatch.setattr(bfloat16, "convolutions", lambda _: [Node(name) for name in (*loses, "depthwise")])
    monkeypatch.setattr(bfloat16, "_mark_precise", lambda _, taken: taken)
    monkeypatch.setattr(bfloat16, "_measure_loss", lost)
    nothing = (np.zeros(0), np.zeros(0))
    assert bfloat16._choose_convolutions(plain, 160, *nothing, 14e-6) == {
        "a",
        "b",
    }  # b, a; then d would be too much, and c
    assert bfloat16._choose_convolutions(plain, 160, *nothing, 16e-6) == {"a", "b", "d"}
    assert bfloat16._choose_convolutions(plain, 160, *nothing, 5e-6) == {"b"}
    assert bfloat16._choose_convolutions(plain, 160, *nothing, 3e-6) == set()  # d alone is not worth it


def test_all_but_what_is_taken_is_marked_as_precise(plain) -> None:
    every = names_of(plain, precise=False)
    taken = {node.get_friendly_name() for node in convolutions(plain.to_model())[2:4]}
    chosen = bfloat16._mark_precise(plain, taken)
    assert len(taken) == 2 and names_of(chosen, precise=False) == taken
    assert names_of(chosen, precise=True) == every - taken
    assert chosen.has_bfloat16 and not plain.has_bfloat16
    images = calibration_images(4, 160)
    np.testing.assert_array_equal(
        compute_features(chosen.to_model(), images), compute_features(plain.to_model(), images)
    )


@pytest.mark.parametrize(("held_out", "is_taken"), [(2.9e-5, True), (3.1e-5, False)])
def test_what_loses_more_on_images_held_out_is_not_taken(plain, monkeypatch, held_out, is_taken) -> None:
    def lost(graph: Graph, images: Any, _: Any) -> float:
        if not graph.has_bfloat16:
            return 0.0
        return 1e-5 if len(images) == 12 else held_out

    monkeypatch.setattr(bfloat16, "_measure_loss", lost)
    chosen = bfloat16.enable_bfloat16(plain, plain.to_model(), 160, 2e-5)
    assert chosen.has_bfloat16 is is_taken and (chosen == plain) is not is_taken


def test_nothing_is_taken_where_marks_are_not_heeded(plain, monkeypatch) -> None:
    monkeypatch.setattr(bfloat16, "_measure_loss", lambda graph, *_: 4e-5 if graph.has_bfloat16 else 0.0)
    assert bfloat16.enable_bfloat16(plain, plain.to_model(), 160, 2e-5) == plain


@needs_no_limit
def test_exact_keeps_its_promise_and_says_so_in_the_graph(backbone, plain, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reduced_precision, "cpu_has_bfloat16", lambda: True)
    graph = reduced_precision.reduce_precision(plain, backbone, tmp_path)
    assert graph.has_bfloat16 and not plain.has_bfloat16 and graph.bin == plain.bin
    images = calibration_images(20, 160)
    found = compute_features(graph.to_model(), images, "bf16")
    near = cosine_similarities(found.astype(np.float64), reference_features(backbone, images).astype(np.float64))
    assert near.min() >= 0.9999
    assert not HAS_IT or 1 - near.mean() > 1e-7  # something does compute in bfloat16


@needs_no_limit
@pytest.mark.parametrize("has", [True, False])
def test_a_worker_without_bfloat16_computes_in_single_precision(backbone, plain, monkeypatch, has) -> None:
    monkeypatch.setattr(openvino_engine, "cpu_has_bfloat16", lambda: has)
    marked = OpenVinoEngine(plain.with_marker(BFLOAT16_MARKER), backbone)
    hint = marked._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    assert hint == ("bf16" if has and HAS_IT else "f32")
    unmarked = OpenVinoEngine(plain, backbone)
    assert unmarked._compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


@needs_no_limit
def test_graphs_made_with_and_without_bfloat16_are_kept_side_by_side(backbone, tmp_path, monkeypatch) -> None:
    for has in (True, False):
        monkeypatch.setattr(reduced_precision, "cpu_has_bfloat16", lambda has=has: has)
        monkeypatch.setattr(graph_cache, "cpu_has_bfloat16", lambda has=has: has)
        assert load_or_convert(backbone, str(tmp_path)).has_bfloat16 is has
    assert len(list(Path(tmp_path, "graphs").iterdir())) == 2


@pytest.mark.parametrize(("precision", "megabytes", "batch"), [("exact", 15, 1), ("exact", 17, 2), ("fast", 1, 2)])
def test_small_networks_run_one_image_per_request(plain, precision, megabytes, batch) -> None:
    padded = Graph(plain.xml, plain.bin + b"\0" * (int(megabytes * 1e6) - len(plain.bin)))
    assert OpenVinoEngine(padded, load_backbone("irbis_tiny", precision=precision)).images_per_request == batch
