"""The device: what Spark assigned, else the first GPU, else the CPU."""

from __future__ import annotations

import pytest
import torch

from pipelines.backbones.devices import list_gpus, resolve_device
from pipelines.errors import SettingsError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch report two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"GPU number {place}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert list_gpus() == []
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    assert resolve_device("auto", ["0"]) == "cpu"  # what Spark promised is not there


@pytest.mark.usefixtures("no_gpu")
def test_cuda_without_a_gpu_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"torch finds no GPU here. Set it to auto or cpu"):
        resolve_device("cuda")


@pytest.mark.usefixtures("gpus")
def test_with_gpus_the_first_is_taken_unless_spark_assigned_one() -> None:
    assert list_gpus() == ["GPU number 0", "GPU number 1"]
    assert resolve_device("auto") == resolve_device("cuda") == "cuda:0"
    assert resolve_device("auto", ["1"]) == resolve_device("cuda", ("1", "0")) == "cuda:1"
    assert resolve_device("cpu", ["1"]) == "cpu"


@pytest.mark.usefixtures("gpus")
def test_an_address_is_looked_up_among_the_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 0")
    assert [resolve_device("auto", [each]) for each in ("3", "0")] == ["cuda:0", "cuda:1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7f,GPU-9a")
    assert resolve_device("auto", ["GPU-9a"]) == "cuda:1"


@pytest.mark.usefixtures("gpus")
def test_an_address_that_torch_does_not_see_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"Spark assigned GPU 2 to this task, but torch sees 2 \(CUDA_VISIBLE_DEVICES: not set\)"
    ):
        resolve_device("auto", ["2"])
    with pytest.raises(SettingsError, match="GPU MIG-5c"):
        resolve_device("auto", ["MIG-5c"])


def test_another_word_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"featurize.device = gpu: expected auto, cpu or cuda"):
        resolve_device("gpu")
