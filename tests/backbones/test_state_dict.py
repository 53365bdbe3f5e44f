"""Weights: read as plain tensors from any usual file, and rejected with a remedy."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn
from torchvision.models import VisionTransformer

from pipelines.backbones import load_backbone
from pipelines.backbones.state_dict import load_weights, read_state_dict
from pipelines.backbones.weights import read_bytes, sha256_hex
from pipelines.errors import WeightsError
from tests.backbones.weights_files import STATE, WRITTEN, State, saved, small_network


def read(content: bytes, name: str) -> State:
    """Return the tensors of a file whose SHA-256 is allowed, as old versions of torch require."""
    return read_state_dict(content, name, [sha256_hex(content)])


def loaded(content: bytes) -> nn.Module:
    network = small_network()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    load_weights(network, read(content, "weights.pth"), "weights.pth")
    return network


def equal(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> bool:
    images = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.allclose(one(images), other(images), atol=tolerance, rtol=0)


@pytest.mark.parametrize("how", WRITTEN)
def test_the_same_tensors_give_the_same_network_however_they_were_written(how: str) -> None:
    assert equal(loaded(WRITTEN[how]), small_network())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(kind: torch.dtype) -> None:
    half = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    for content in (save(half), saved(half)):
        assert read(content, "half.pth")["conv.weight"].dtype == torch.float32
        network = loaded(content)
        assert {each.dtype for each in network.parameters()} == {torch.float32}
        assert torch.equal(network.conv.weight, STATE["conv.weight"].to(kind).float())  # type: ignore[arg-type, union-attr]
        assert equal(network, small_network(), tolerance=0.02)


class Malicious:
    """An object that runs a command when it is unpickled."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.proof}",)


def test_objects_in_a_file_are_refused_and_never_executed(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    bomb = Malicious(proof)
    for content in (
        saved({"conv.weight": bomb}),
        saved({"conv.weight": bomb}, _use_new_zipfile_serialization=False),
        pickle.dumps(bomb, protocol=2),
    ):
        with pytest.raises(WeightsError, match="damaged, or contains more than tensors") as caught:
            read(content, "weights.pth")
        assert "weights_only" not in str(caught.value)  # torch advises to execute the file: we do not pass that on
    assert not proof.exists()
    pickle.loads(pickle.dumps(bomb))  # the same object is dangerous where it is unpickled
    assert proof.exists()


REFUSED = {
    "a web page": (b"<!DOCTYPE html><html>Not found</html>", r"it begins with b'<!DOCTYPE html><'"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", r"it begins with b'version https://'"),
    "nothing": (b"", "it is empty"),
    "a whole network": (saved(small_network()), r"more than tensors \(UnpicklingError\)"),
    "a list": (saved([STATE]), "contains no state_dict"),
    "a tensor": (saved(torch.zeros(3)), "contains no state_dict"),
    "numbers": (saved({"epoch": 3, "loss": 0.1}), "contains no state_dict"),
    "values not finite": (
        saved(STATE | {"norm.bias": torch.tensor([0.0, 1.0, float("nan"), 2.0])}),
        r"not finite \(first in norm.bias\)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_a_state_dict_is_refused_with_its_reason(what: str) -> None:
    content, reason = REFUSED[what]
    with pytest.raises(WeightsError, match=f"^ours.pth .*{reason}"):
        read(content, "ours.pth")


@pytest.mark.parametrize("how", ["safetensors", "pth", "pth as before torch 1.6"])
def test_a_file_cut_off_anywhere_is_refused(how: str) -> None:
    content = WRITTEN[how]
    for end in range(1, len(content), len(content) // 50):
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read(content[:end], "cut.pth")


def test_weights_of_another_network_are_counted() -> None:
    other = nn.Sequential(OrderedDict([("conv", nn.Conv2d(3, 4, 5)), ("fc", nn.Linear(4, 2))]))
    with pytest.raises(
        WeightsError, match=r"^x belongs to another network: 6 tensors missing, 2 unknown, 1 of another shape"
    ):
        load_weights(small_network(), other.state_dict(), "x")
    unshaped = {name: tensor for name, tensor in STATE.items() if name != "conv.bias"} | {"extra": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"1 tensors missing, 1 unknown, 0 of another shape \(first conv.bias\)"):
        load_weights(small_network(), unshaped, "x")
    with pytest.raises(WeightsError, match="8 tensors missing"):
        load_weights(small_network(), {}, "x")


@pytest.mark.parametrize("classes", [None, 2, 5])
def test_a_head_of_any_size_or_none_is_fine_when_it_is_cut(classes: int | None) -> None:
    headless = {name: tensor * 2 for name, tensor in STATE.items() if not name.startswith("head.")}
    tuned = headless | ({"head.weight": torch.ones(classes, 4, 1, 1), "head.1.bias": torch.ones(9)} if classes else {})
    network = small_network()
    load_weights(network, tuned, "tuned.pth", head="head")
    assert torch.equal(network.conv.weight, STATE["conv.weight"] * 2)  # type: ignore[arg-type, union-attr]
    assert torch.equal(network.head.weight, STATE["head.weight"])  # type: ignore[arg-type, union-attr]
    with pytest.raises(WeightsError, match="another network"):
        load_weights(small_network(), tuned, "tuned.pth")


def test_a_head_is_left_out_by_its_whole_name_only() -> None:
    with pytest.raises(WeightsError, match=r"1 unknown.*first header.weight"):
        load_weights(small_network(), STATE | {"header.weight": torch.ones(1)}, "x", head="head")


def test_names_from_before_torchvision_renamed_them_fit() -> None:
    """The file that torchvision publishes for vit_b_16 contains mlp.linear_1 instead of mlp.0."""
    torch.manual_seed(0)
    sizes = {"image_size": 32, "patch_size": 16, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    source, target = (VisionTransformer(**sizes, num_classes=3).eval() for _ in range(2))
    renamed = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor
        for name, tensor in source.state_dict().items()
    }
    assert renamed.keys() != source.state_dict().keys()
    load_weights(target, renamed, "vit", head="heads")
    target.heads = source.heads
    assert torch.equal(target(torch.ones(1, 3, 32, 32)), source(torch.ones(1, 3, 32, 32)))


def test_a_file_that_the_system_refuses_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone.pth cannot be read: No such file"):
        read_bytes(tmp_path / "gone.pth")


def test_the_digest_is_the_sha_256_of_the_file() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_weights_of_another_network_are_refused_before_any_image_is_read(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    file.write_bytes(WRITTEN["safetensors"])
    with pytest.raises(WeightsError, match=r"small.safetensors belongs to another network.*Set featurize.backbone"):
        load_backbone("squeezenet1_1", weights=str(file))
