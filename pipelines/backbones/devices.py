"""Choose the device on which a network runs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from pipelines.errors import SettingsError


def list_gpus() -> list[str]:
    """List the names of the GPUs that torch can use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(i) for i in range(count)]


def resolve_device(device: str, addresses: Sequence[str] = ()) -> str:
    """Return `cpu` or `cuda:N`: the GPU at the first address that Spark assigned to the task, else the first GPU.

    `device` is auto, cpu or cuda; auto means the CPU if there is no GPU. Raises SettingsError for any other value,
    for cuda without a GPU, and for an address that torch does not see.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"featurize.device = {device}: expected auto, cpu or cuda.")
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise SettingsError("featurize.device = cuda: torch finds no GPU here. Set it to auto or cpu.")
    return f"cuda:{_gpu_index(addresses[0]) if addresses else 0}"


def _gpu_index(address: str) -> int:
    """Return torch's index of a GPU: torch counts the devices in CUDA_VISIBLE_DEVICES from 0."""
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    count = torch.cuda.device_count()
    index = visible.index(address) if address in visible else int(address) if address.isdecimal() else count
    if index >= count:
        raise SettingsError(
            f"Spark assigned GPU {address} to this task, but torch sees {count} (CUDA_VISIBLE_DEVICES: "
            f"{', '.join(visible) or 'not set'}). Let the discovery script return addresses that the workers see."
        )
    return index
