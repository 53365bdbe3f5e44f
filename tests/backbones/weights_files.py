"""A small network, and its weights in every usual format."""

from __future__ import annotations

import io
from collections import OrderedDict

import torch
from safetensors.torch import save
from torch import Tensor, nn

State = dict[str, Tensor]


def small_network() -> nn.Module:
    """Return a convolution, a normalisation and a classifier called head, with known random weights."""
    torch.manual_seed(3)
    steps = [("conv", nn.Conv2d(3, 4, 3)), ("norm", nn.BatchNorm2d(4)), ("head", nn.Conv2d(4, 5, 1))]
    return nn.Sequential(OrderedDict(steps)).eval()


def saved(value: object, **options: object) -> bytes:
    """Return the bytes that torch.save writes."""
    file = io.BytesIO()
    torch.save(value, file, **options)  # type: ignore[arg-type]
    return file.getvalue()


STATE: State = small_network().state_dict()
WRITTEN = {
    "safetensors": save(STATE),
    "pth": saved(STATE),
    "pth as before torch 1.6": saved(STATE, _use_new_zipfile_serialization=False),
    "parameters": saved(dict(small_network().named_parameters()) | dict(small_network().named_buffers())),
    "state_dict": saved({"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}}),
    "model_state_dict": saved({"model_state_dict": STATE, "loss": 0.5}),
    "model": saved({"epoch": 1, "model": {"state_dict": STATE}}),
    "DataParallel": saved({f"module.{name}": tensor for name, tensor in STATE.items()}),
    "torch.compile": saved({f"module._orig_mod.{name}": tensor for name, tensor in STATE.items()}),
    "float64": saved({name: tensor.double() for name, tensor in STATE.items()}),
    "without counters": saved({name: tensor for name, tensor in STATE.items() if "num_batches" not in name}),
}
