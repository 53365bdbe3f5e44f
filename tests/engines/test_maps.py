"""The maps before pooling: the features stay the same to the bit, and weights on the maps give the logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.registry import ARCHITECTURES, get_architecture
from pipelines.engines import EngineFactory, load_or_convert
from pipelines.engines.conversion import convert_to_openvino
from pipelines.engines.map_engine import MapEngine, MappedFeatures, require_consistent, require_maps
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.openvino_maps import OpenVinoMapEngine
from pipelines.engines.torch_engine import TorchEngine
from pipelines.engines.torch_maps import TorchMapEngine
from pipelines.errors import ModelError, PlatformError
from pipelines.explanation.contributions import contributions
from pipelines.synthetic import scenes

RANDOM = ("squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "efficientnet_b0", "convnext_tiny")


def random_backbone(name: str, folder: Path, size: int = 64) -> Backbone:
    """Return a backbone with random weights, whose normalisations have random parameters too."""
    torch.manual_seed(5)
    network = get_architecture(name).build()
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return load_backbone(name, weights=str(folder / f"{name}.safetensors"), size=size, check=False)


def largest_error(found: MappedFeatures, backbone: Backbone, engine: MapEngine) -> float:
    """Return the largest error of a logit from the maps, relative to the sum of the absolute values of its terms."""
    weights = np.random.default_rng(1).normal(size=found.features.shape)
    parts = contributions(weights, found.layers, require_maps(backbone), engine.norm)
    logits = sum(values.mean(axis=(1, 2)) for values in parts.maps) + parts.constant
    scale = np.maximum(np.abs(weights * found.features).sum(axis=1), 1)
    return float((np.abs(logits - (weights * found.features).sum(axis=1)) / scale).max())


def require_exact_maps(backbone: Backbone, folder: Path) -> None:
    pixels = scenes.render(3, backbone.preprocessing.size, seed=2)
    graph = convert_to_openvino(backbone, folder)
    digest = graph.digest
    engine = OpenVinoMapEngine(graph, backbone)
    found = engine.compute_maps(pixels)
    np.testing.assert_array_equal(found.features, OpenVinoEngine(graph, backbone)(pixels))
    assert graph.digest == digest
    require_consistent(found, backbone, engine.norm)
    assert largest_error(found, backbone, engine) < 1e-5
    hooked = TorchMapEngine(backbone, "cpu")
    by_torch = hooked.compute_maps(pixels)
    np.testing.assert_array_equal(by_torch.features, TorchEngine(backbone, "cpu")(pixels))
    assert largest_error(by_torch, backbone, hooked) < 1e-5
    for ours, theirs in zip(found.layers, by_torch.layers, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())


def test_the_maps_of_irbis_tiny_give_its_features_and_logits(tmp_path) -> None:
    require_exact_maps(load_backbone("irbis_tiny"), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", RANDOM)
def test_the_maps_of_a_network_give_its_features_and_logits(name, tmp_path) -> None:
    require_exact_maps(random_backbone(name, tmp_path), tmp_path)


@pytest.mark.full
def test_in_8_bits_too_the_features_stay_the_same(tmp_path) -> None:
    backbone = replace(load_backbone("irbis_tiny"), precision="fast")
    pixels = scenes.render(5, backbone.preprocessing.size, seed=2)
    graph = load_or_convert(backbone, str(tmp_path))
    engine = OpenVinoMapEngine(graph, backbone)
    found = engine.compute_maps(pixels)
    np.testing.assert_array_equal(found.features, OpenVinoEngine(graph, backbone)(pixels))
    require_consistent(found, backbone, engine.norm)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_batches_do_not_change_the_maps(kind, tmp_path) -> None:
    backbone = load_backbone("irbis_tiny")
    graph = load_or_convert(backbone, str(tmp_path)) if kind == "openvino" else None
    factory = EngineFactory(backbone, lambda: backbone.weights, (lambda: graph) if graph else None)  # type: ignore[arg-type, return-value]
    pixels = scenes.render(5, 160, seed=3)
    together = factory.get_with_maps("cpu", batch=2).compute_maps(pixels)
    alone = [factory.get_with_maps("cpu", batch=1).compute_maps(pixels[i : i + 1]) for i in range(5)]
    assert [layer.shape[:2] for layer in together.layers] == [(5, 40), (5, 88), (5, 160)]
    for i, layer in enumerate(together.layers):
        np.testing.assert_allclose(layer, np.concatenate([each.layers[i] for each in alone]), atol=1e-4)


def test_a_map_engine_does_not_replace_the_engine_of_featurize(tmp_path) -> None:
    backbone = load_backbone("irbis_tiny")
    graph = load_or_convert(backbone, str(tmp_path))
    factory = EngineFactory(backbone, lambda: backbone.weights, lambda: graph, graph.digest)
    assert type(factory.get_with_maps("cpu")) is OpenVinoMapEngine
    assert type(factory.get("cpu")) is OpenVinoEngine
    assert factory.get_with_maps("cpu") is factory.get_with_maps("cpu")


def test_every_architecture_has_maps_or_a_reason() -> None:
    for name in ARCHITECTURES:
        if get_architecture(name).pooling is None:
            with pytest.raises(ModelError, match=rf"{name} cannot be explained: its features are .*Choose a model"):
                require_maps(Backbone(name, b"", get_architecture(name).preprocessing))
    without = {name for name in ARCHITECTURES if get_architecture(name).pooling is None}
    assert without == {"raw_pixels", "vit_b_16"}


def test_maps_of_another_layer_are_noticed() -> None:
    backbone = load_backbone("irbis_tiny")
    found = TorchMapEngine(backbone, "cpu").compute_maps(scenes.render(2, 160, seed=3))
    wrong = found._replace(layers=(found.layers[0][:, ::-1], *found.layers[1:]))
    with pytest.raises(PlatformError, match="maps of irbis_tiny do not give its features"):
        require_consistent(wrong, backbone, None)
