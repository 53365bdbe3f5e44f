"""Engines against the reference (full decoding, single precision, torch on the CPU), within their tolerances."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.torch_models import reference_features
from pipelines.engines import Engine, EngineFactory, graph_cache, load_or_convert, openvino_engine
from pipelines.engines import engine as engine_module
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.quantization.calibration_images import cosine_similarities
from pipelines.engines.torch_engine import TorchEngine
from pipelines.synthetic import scenes

EXACT = 0.9999  # least cosine of any image
FAST = (0.85, 0.98)  # least and median; what `fast` promises is accuracy, which benchmarks show


def engine_of(kind: str, backbone: Backbone, cache: Path, **options: Any) -> Engine:
    if kind == "torch":
        return TorchEngine(backbone, "cpu", **options)
    return OpenVinoEngine(load_or_convert(backbone, str(cache)), backbone, **options)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module", params=["irbis_tiny", "squeezenet1_1", "mobilenet_v2"])
def backbone(request: pytest.FixtureRequest, shared_data: Path) -> Backbone:
    name = request.param
    file = None if name == "irbis_tiny" else str(shared_data / "backbones" / f"{name}_imagenet.safetensors")
    return load_backbone(name, weights=file)


@pytest.fixture(scope="module")
def images(shared_data: Path) -> list[bytes]:
    """Return the awkward files, many of them tiny, and 20 real images."""
    awkward = sorted(path for path in (shared_data / "awkward").iterdir() if path.suffix not in (".csv", ".md"))
    real = sorted((shared_data / "cameratrap_peru_sdzg").rglob("*.[jJ][pP][gG]"))
    return [path.read_bytes() for path in [*awkward, *real[::5][:20]]]


@pytest.mark.parametrize("kind", ["openvino", "torch"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_every_engine_keeps_its_promise_awkward_images_included(backbone, images, cache, kind, precision) -> None:
    assert len(images) >= 60
    chosen = replace(backbone, precision=precision)
    engine = engine_of(kind, chosen, cache)
    found = list(chosen.embed(images, engine, batch=engine.batch))
    expected = list(backbone.embed(images))
    assert [each.failure for each in found] == [each.failure for each in expected]
    readable = [place for place, each in enumerate(expected) if each.failure is None]
    assert len(readable) >= 40
    near = cosine_similarities(*(np.stack([each[place].features for place in readable]) for each in (found, expected)))
    if precision == "exact":
        assert near.min() >= EXACT
    else:
        assert near.min() >= FAST[0] and np.median(near) >= FAST[1]


def test_a_batch_that_is_not_full_gives_the_same_features(cache, monkeypatch) -> None:
    monkeypatch.setattr(openvino_engine, "cpu_has_bfloat16", lambda: False)  # its rounding errors would hide mistakes
    backbone = load_backbone("irbis_tiny")
    pixels = scenes.render(5, 160, seed=3)
    expected = reference_features(backbone, pixels)
    for batch in (1, 2, 4, 8):
        engine = engine_of("openvino", backbone, cache, batch=batch)
        np.testing.assert_allclose(engine(pixels), expected, atol=1e-4)
        np.testing.assert_allclose(engine(pixels[:1]), expected[:1], atol=1e-4)


@pytest.mark.parametrize(("own", "held", "batch"), [(0, 99, 32), (3, 99, 30), (64, 99, 64), (2, 11, 10), (0, 0.5, 1)])
def test_images_are_decoded_ahead_of_the_network_as_far_as_memory_goes(cache, monkeypatch, own, held, batch) -> None:
    monkeypatch.setattr(openvino_engine, "_BUFFERED_BYTES", int(held * 160 * 160 * 3))
    engine = engine_of("openvino", load_backbone("irbis_tiny"), cache, batch=own)
    assert (engine.images_per_request, engine.batch) == (own or 1, batch)


def test_engines_of_one_machine_do_not_share_a_core(cache) -> None:
    engine = engine_of("openvino", load_backbone("irbis_tiny"), cache, threads=2)
    # Pinned, every process would take the first core for its own.
    found = {name: engine._compiled.get_property(name) for name in ("ENABLE_CPU_PINNING", "INFERENCE_NUM_THREADS")}
    assert found == {"ENABLE_CPU_PINNING": False, "INFERENCE_NUM_THREADS": 2}


def test_the_converted_network_is_kept_and_found_again_without_torch(cache, monkeypatch) -> None:
    backbone = load_backbone("irbis_tiny")
    first = load_or_convert(backbone, str(cache))
    monkeypatch.setitem(__import__("sys").modules, "pipelines.engines.conversion", None)
    assert load_or_convert(backbone, str(cache)) == first
    with pytest.raises(ImportError):  # other weights are another network
        load_or_convert(replace(backbone, weights=b"other"), str(cache))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that holds irbis_tiny alone, to be copied."""
    folder = tmp_path_factory.mktemp("converted")
    load_or_convert(load_backbone("irbis_tiny"), str(folder))
    return folder


@pytest.mark.parametrize("file", ["graph.xml", "graph.bin", "graph.sha256"])
@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "gone"])
def test_a_damaged_cache_is_named_and_converted_again(converted, tmp_path, caplog, file, damage) -> None:
    shutil.copytree(converted, tmp_path, dirs_exist_ok=True)
    backbone = load_backbone("irbis_tiny")
    whole = load_or_convert(backbone, str(tmp_path))
    assert not caplog.messages
    (damaged,) = tmp_path.rglob(file)
    content = damaged.read_bytes()
    changed = content[:40] + bytes(255 - each for each in content[40:60]) + content[60:]
    if damage == "gone":
        damaged.unlink()
    else:
        damaged.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "changed": changed}[damage])
    again = load_or_convert(backbone, str(tmp_path))
    (note,) = caplog.messages
    assert note.startswith(f"note: {damaged.parent} is damaged (") and note.endswith("the network is converted again.")
    assert file == "graph.sha256" or file in note
    assert load_or_convert(backbone, str(tmp_path)) == again and len(caplog.messages) == 1
    assert again.bin == whole.bin  # the nodes have other numbers in their names
    assert [each.name for each in (tmp_path / "graphs").iterdir()] == [damaged.parent.name]


def test_the_sums_beside_a_converted_network_are_those_of_sha256sum(converted) -> None:
    (sums,) = converted.rglob("graph.sha256")
    assert sums.read_text("utf-8") == "".join(
        f"{hashlib.sha256((sums.parent / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("graph.xml", "graph.bin")
    )


def test_a_converted_network_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(graph_cache, "sync", lambda path: synced.append(path.name))
    rename = graph_cache.os.rename

    def renamed(old, new):
        assert {"graph.xml", "graph.bin", "graph.sha256", Path(old).name} <= set(synced)
        rename(old, new)

    monkeypatch.setattr(graph_cache.os, "rename", renamed)
    load_or_convert(load_backbone("irbis_tiny"), str(tmp_path))
    assert synced[-1] == "graphs"


def test_a_cache_that_cannot_be_written_costs_time_but_no_features(tmp_path, caplog) -> None:
    (tmp_path / "graphs").write_text("in the way")
    graph = load_or_convert(load_backbone("irbis_tiny"), str(tmp_path))
    assert len(graph.xml) > 1000 and "cannot store converted networks" in caplog.text


def test_a_process_builds_each_engine_once(monkeypatch, cache) -> None:
    monkeypatch.setattr(engine_module, "_engines", {})
    backbone = load_backbone("irbis_tiny")
    fetched: list[str] = []
    graph = load_or_convert(backbone, str(cache))

    def fetch() -> Any:
        fetched.append("graph")
        return graph

    def engine(**options: Any) -> Engine:
        return EngineFactory(backbone.without_weights(), lambda: backbone.weights, fetch).get("cpu", **options)

    first = engine()
    assert engine() is first and engine() is first and fetched == ["graph"]
    assert engine(batch=4) is not first and fetched == ["graph", "graph"]
    without = EngineFactory(replace(backbone, max_pixels=9), lambda: backbone.weights, None).get("cpu", batch=2)
    assert isinstance(without, TorchEngine) and len(engine_module._engines) == 2


def test_a_process_tells_another_network_of_the_same_backbone_apart(monkeypatch, cache) -> None:
    monkeypatch.setattr(engine_module, "_engines", {})
    backbone = load_backbone("irbis_tiny")
    graph = load_or_convert(backbone, str(cache))
    other = replace(graph, xml=graph.xml + b" ")
    engines = [
        EngineFactory(backbone, lambda: backbone.weights, lambda each=each: each, each.digest).get("cpu")
        for each in (graph, other)
    ]
    by_torch = EngineFactory(backbone, lambda: backbone.weights, None).get("cpu")
    assert graph.digest != other.digest and engines[0] is not engines[1]
    assert isinstance(by_torch, TorchEngine)  # the setting was changed, and the worker is the same


def test_fast_features_have_a_name_of_their_own() -> None:
    exact = load_backbone("irbis_tiny")
    fast = load_backbone("irbis_tiny", precision="fast")
    assert fast.feature_id == exact.feature_id + "/fast"
    assert exact.without_weights().feature_id == exact.feature_id and exact.without_weights().weights == b""
