"""The packaged backbone: folding of batch normalisation, its weights and their recorded recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from pipelines.backbones.irbis_tiny import FEATURES, IrbisTiny, pool_mean_std
from pipelines.backbones.weights import PACKAGED_WEIGHTS_DIR
from pipelines.synthetic import pretraining

KNOWN_PLACES = [0, 39, 40, 79, 80, 167, 168, 256, 415, 416, 575]
KNOWN_FEATURES = [4.1388, 0.1549, 2.07, 0.4582, 0.3466, 0.0229, 0.2592, 0.0, 2.3228, 0.0032, 1.713]
WEIGHTS = PACKAGED_WEIGHTS_DIR / "irbis_tiny.safetensors"


@pytest.fixture(scope="module")
def shipped() -> IrbisTiny:
    network = IrbisTiny()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}, strict=True)
    return network.eval()


def checks(period: int, size: int = 96) -> torch.Tensor:
    """Return one normalised image of black and white checks."""
    y, x = np.mgrid[0:size, 0:size] // period
    return torch.from_numpy(((x + y) % 2 * 4.0 - 2.0).astype(np.float32)).expand(1, 3, size, size)


def test_shipped_weights_are_small_and_tell_their_recipe() -> None:
    assert WEIGHTS.stat().st_size < 2_000_000
    with safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    defaults = vars(pretraining.parse_arguments(["--output", "x"]))
    names = ("images", "steps", "batch", "crop", "compared", "seed", "threads")
    assert {name: metadata[name] for name in names} == {name: str(defaults[name]) for name in names}


def test_shipped_weights_give_known_features(shipped: IrbisTiny) -> None:
    with torch.no_grad():
        features = shipped(checks(6))[0]
    assert features.shape == (FEATURES,) == (576,)
    assert features[KNOWN_PLACES].tolist() == pytest.approx(KNOWN_FEATURES, abs=2e-3)


def test_features_do_not_depend_on_the_rest_of_the_batch_nor_on_training_mode(shipped: IrbisTiny) -> None:
    batch = torch.cat([checks(6), checks(3), checks(11)])
    with torch.no_grad():
        together, alone = shipped(batch), shipped(batch[1:2])
        training = IrbisTiny().train()
        training.load_state_dict(shipped.state_dict())
        assert torch.allclose(together[1], alone[0], atol=1e-5)
        assert torch.allclose(training(batch), together, atol=1e-5)


def test_any_size_from_32_up_and_any_shape_gives_finite_features(shipped: IrbisTiny) -> None:
    with torch.no_grad():
        for height, width in [(32, 32), (45, 160), (161, 97)]:
            assert torch.isfinite(shipped(torch.zeros(1, 3, height, width))).all()


def test_folding_keeps_the_features() -> None:
    torch.manual_seed(0)
    network = IrbisTiny(batch_norm=True).train()
    for _ in range(3):  # move the running statistics away from 0 and 1
        network(torch.randn(4, 3, 64, 64) * 2 + 1)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.eval()(images), network.fold_batch_norm()(images), rtol=1e-3, atol=1e-4)


def test_pooling_gives_mean_and_standard_deviation() -> None:
    maps = torch.tensor([[[[1.0, 5.0], [1.0, 5.0]], [[2.0, 2.0], [2.0, 2.0]]]])
    assert pool_mean_std(maps)[0].tolist() == pytest.approx([3.0, 2.0, 2.0, 0.0], abs=4e-3)
