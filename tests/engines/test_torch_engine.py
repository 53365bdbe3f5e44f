"""The engine for GPUs, run on the CPU with simulated out-of-memory errors."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backbones import load_backbone
from pipelines.backbones.torch_models import reference_features
from pipelines.engines import torch_engine
from pipelines.engines.torch_engine import TorchEngine
from pipelines.errors import PlatformError
from pipelines.synthetic import scenes

PIXELS = scenes.render(9, 160, seed=1)


class Small(torch.nn.Module):
    """A network on a GPU with memory for `most` images."""

    def __init__(self, network: Any, most: int) -> None:
        super().__init__()
        self.network, self.most = network, most
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.network(images)


def engine_with_room_for(most: int) -> tuple[TorchEngine, Small]:
    engine = TorchEngine(load_backbone("irbis_tiny"), "cpu", batch=8)
    small = Small(engine._network, most)
    engine._network = small
    return engine, small


def test_a_batch_that_does_not_fit_is_halved_once_with_a_warning_and_stays_so(caplog) -> None:
    engine, small = engine_with_room_for(5)
    with caplog.at_level(logging.WARNING):
        found = engine(PIXELS[:8])
    assert small.seen == [8, 4, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "8 images do not fit into the memory of cpu: 4 from now on."
    ]
    np.testing.assert_allclose(found, reference_features(load_backbone("irbis_tiny"), PIXELS[:8]), atol=1e-5)
    engine(PIXELS)
    assert small.seen[3:] == [4, 4, 1] and len(caplog.records) == 1


def test_what_does_not_fit_in_halves_either_ends_with_what_to_set() -> None:
    engine, small = engine_with_room_for(3)
    with pytest.raises(PlatformError, match=r"4 images do not fit .*Set featurize.batch_size below 4"):
        engine(PIXELS[:8])
    assert small.seen == [8, 4]


def test_an_engine_computes_in_single_precision_by_default(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    TorchEngine(load_backbone("irbis_tiny"), "cpu")
    assert torch.backends.cudnn.allow_tf32 is False


def test_a_gpu_has_all_weights_before_its_first_batch(monkeypatch) -> None:
    calls = []
    for name in ("get_model", "get_mean_std"):
        made = getattr(torch_engine, name)
        monkeypatch.setattr(
            torch_engine, name, lambda what, _, made=made, name=name: (calls.append(name), made(what, "cpu"))[1]
        )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: calls.append(device))
    engine = TorchEngine(load_backbone("irbis_tiny"), "cuda:1")
    assert calls == ["get_model", "get_mean_std", "cuda:1"]
    assert (engine.batch, engine.max_concurrent_calls) == (128, 2)
