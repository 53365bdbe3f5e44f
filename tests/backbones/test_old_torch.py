"""A torch with known holes unpickles only files of known SHA-256."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model_weights

from pipelines.backbones import load_backbone, state_dict
from pipelines.backbones.registry import ARCHITECTURES
from pipelines.backbones.state_dict import read_state_dict
from pipelines.backbones.weights import TORCHVISION_SHA256, sha256_hex
from pipelines.errors import WeightsError
from tests.backbones.weights_files import STATE, WRITTEN

NOT_LOADED = (
    r"^ours.pth is not loaded: torch {} runs code from crafted .pth files .*torch 2.10 and later do not.* "
    r"as .safetensors, .* set featurize.weights_sha256={}$"
)


@pytest.mark.parametrize("version", ["2.3.1+cu121", "2.9.1", "1.13.1"])
def test_a_torch_with_known_holes_unpickles_only_files_of_known_sha_256(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    for content in (WRITTEN["pth"], WRITTEN["pth as before torch 1.6"]):
        own = sha256_hex(content)
        for allowed in ([], [sha256_hex(b"another")]):
            with monkeypatch.context() as patch, pytest.raises(WeightsError) as caught:
                patch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch must not see the file"))
                read_state_dict(content, "ours.pth", allowed)
            assert re.match(NOT_LOADED.format(re.escape(version), own), str(caught.value))
        assert torch.equal(read_state_dict(content, "ours.pth", [own])["conv.weight"], STATE["conv.weight"])
    assert torch.equal(read_state_dict(WRITTEN["safetensors"], "ours")["conv.weight"], STATE["conv.weight"])
    monkeypatch.setattr(state_dict, "TORCHVISION_SHA256", {sha256_hex(WRITTEN["pth"])})
    assert torch.equal(read_state_dict(WRITTEN["pth"], "torchvision's")["conv.weight"], STATE["conv.weight"])


@pytest.mark.parametrize("version", ["2.10.0", "2.10.0a0+6f2a", "2.15.0+cu132", "3.0"])
def test_a_newer_torch_loads_any_file_of_tensors(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert torch.equal(read_state_dict(WRITTEN["pth"], "ours.pth")["conv.weight"], STATE["conv.weight"])


def test_the_sha_256_of_every_file_that_torchvision_may_send_is_known() -> None:
    names = [name for name, known in ARCHITECTURES.items() if known.has_weights and name != "irbis_tiny"]
    sent = {get_model_weights(name).DEFAULT.url.rpartition("-")[2].removesuffix(".pth") for name in names}
    assert {known[:8] for known in TORCHVISION_SHA256} == sent
    assert {len(known) for known in TORCHVISION_SHA256} == {64} and len(names) == 9


def test_an_old_torch_knows_a_real_file_by_its_listed_sha_256_alone(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shared_data / "backbones" / "squeezenet1_1_imagenet.pth"
    if not file.is_file():
        pytest.skip(f"needs the weights {file}")
    monkeypatch.setattr(torch, "__version__", "2.6.0")
    with pytest.raises(
        WeightsError, match=r"squeezenet1_1_imagenet.pth is not loaded.*weights_sha256=52a48f8473c2b947"
    ):
        load_backbone("squeezenet1_1", weights=str(file))
    own = "52a48f8473c2b947a5e6d42274a7830777b5752605a8555b660ef39c0cbd1a05"  # by SOURCE.md beside it
    chosen = load_backbone("squeezenet1_1", weights=str(file), allowed_sha256=[own])
    assert chosen.weights_digest == own
    pickle.loads(pickle.dumps(chosen)).check()  # as a worker gets it
    with pytest.raises(WeightsError, match="is not loaded"):
        dataclasses.replace(chosen, allowed_sha256=()).check()
