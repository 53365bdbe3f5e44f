"""The registry: every network returns the input of its classifier, with its own preprocessing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from pipelines.backbones import ARCHITECTURES
from pipelines.backbones.irbis_tiny import FEATURES
from pipelines.backbones.registry import get_architecture
from pipelines.errors import SettingsError

# The layer whose input torchvision's documentation calls the features, and their number.
CLASSIFIERS = {
    "squeezenet1_1": ("classifier", 512),
    "mobilenet_v2": ("classifier", 1280),
    "mobilenet_v3_small": ("classifier", 576),
    "mobilenet_v3_large": ("classifier", 960),
    "resnet18": ("fc", 512),
    "resnet50": ("fc", 2048),
    "efficientnet_b0": ("classifier", 1280),
    "convnext_tiny": ("classifier.2", 768),
    "vit_b_16": ("heads", 768),
}


def random_images(name: str) -> Tensor:
    side = 224 if name == "vit_b_16" else 64
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def before_classifier(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Return the input of the classifier, pooled if it is still a map."""
    seen: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(images)
    hook.remove()
    return seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]


def test_the_registry_has_irbis_tiny_raw_pixels_and_nine_of_torchvision() -> None:
    assert set(ARCHITECTURES) == {"irbis_tiny", "raw_pixels", *CLASSIFIERS}


@pytest.mark.full
@pytest.mark.parametrize("name", CLASSIFIERS)
@torch.inference_mode()
def test_a_cut_network_gives_what_reaches_the_classifier_of_the_whole_one(name: str) -> None:
    layer, width = CLASSIFIERS[name]
    torch.manual_seed(0)
    network = ARCHITECTURES[name].build().eval()
    images = random_images(name)
    expected = before_classifier(network, layer, images)
    cut = ARCHITECTURES[name].remove_head(network)
    together, alone = cut(images), cut(images[:1])
    assert together.shape == (2, width)
    assert torch.isfinite(together).all() and together.std() > 0
    assert torch.allclose(together, expected, atol=1e-5)
    assert torch.allclose(together[:1], alone, atol=1e-4)


@torch.inference_mode()
def test_irbis_tiny_has_no_classifier_to_cut() -> None:
    torch.manual_seed(0)
    network = ARCHITECTURES["irbis_tiny"].build().eval()
    images = random_images("irbis_tiny")
    expected = network(images)
    features = ARCHITECTURES["irbis_tiny"].remove_head(network)(images)
    assert features.shape == (2, FEATURES)
    assert torch.equal(features, expected) and torch.isfinite(features).all()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_classifier_begins_with_its_name_in_the_weights(name: str) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name].build()
    head = ARCHITECTURES[name].head_prefix
    last = [key for key in network.state_dict() if key.startswith(f"{head}.")]
    assert last and last[-1] == list(network.state_dict())[-1]
    assert network.state_dict()[last[-1]].shape == (1000,)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_preprocessing_is_that_of_the_published_weights(name: str) -> None:
    published = get_model_weights(name).DEFAULT.transforms()
    own = ARCHITECTURES[name].preprocessing
    assert [own.size] == published.crop_size
    assert [own.resize] == published.resize_size
    assert own.mean == tuple(published.mean)
    assert own.std == tuple(published.std)
    assert own.interpolation == published.interpolation.value
    assert published.antialias  # as Pillow always does when it shrinks
    assert own.resize_mode == "squash"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_smallest_allowed_image_has_features(name: str) -> None:
    known = ARCHITECTURES[name]
    with torch.device("meta"):  # shapes only: nothing is computed
        network = known.remove_head(known.build()).eval()
    side = known.input_size_range[0]
    width = {"irbis_tiny": FEATURES, "raw_pixels": 3 * 32 * 32}.get(name) or CLASSIFIERS[name][1]
    assert network(torch.empty(1, 3, side, side, device="meta")).shape == (1, width)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        SettingsError, match=r"mobilenet_v4: not known\. Did you mean 'mobilenet_v2'\? Known: irbis_tiny,"
    ):
        get_architecture("mobilenet_v4")
    with pytest.raises(SettingsError, match=r"featurize.backbone = \?: not known\. Known: irbis_tiny, raw_pixels,"):
        get_architecture("?")
