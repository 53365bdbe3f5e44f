"""Choose where a network runs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from pipelines.errors import SettingsError


def gpu_names() -> list[str]:
    """List the GPUs that torch can use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(place) for place in range(count)]


def resolve_device(wanted: str, addresses: Sequence[str] = ()) -> str:
    """Give `cpu` or `cuda:N`: the GPU at the address that Spark gave the task, else the first one.

    `wanted` is auto, cpu or cuda; auto takes the CPU where there is no GPU. Raises SettingsError for another word,
    for cuda without a GPU, and for an address that torch does not see.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"featurize.device = {wanted}: expected auto, cpu or cuda.")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise SettingsError("featurize.device = cuda: torch finds no GPU here. Set it to auto or cpu.")
    return f"cuda:{_place(addresses[0]) if addresses else 0}"


def _place(address: str) -> int:
    """Give the number under which torch knows a GPU: it counts those that CUDA_VISIBLE_DEVICES leaves, from 0."""
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    count = torch.cuda.device_count()
    place = visible.index(address) if address in visible else int(address) if address.isdecimal() else count
    if place >= count:
        raise SettingsError(
            f"Spark gave this task the GPU {address}, but torch sees {count} (CUDA_VISIBLE_DEVICES: "
            f"{', '.join(visible) or 'not set'}). Let the discovery script give addresses that the workers see."
        )
    return place
