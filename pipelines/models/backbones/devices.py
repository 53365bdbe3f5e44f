"""Choose where a network runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def gpu_names() -> list[str]:
    """List the GPUs that torch can use."""
    return (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )


def resolve_device(wanted: str, addresses: Sequence[str] = ()) -> str:
    """Give `cpu` or `cuda:N`: the GPU at the address that Spark gave the task, else the first one.

    `wanted` is auto, cpu or cuda; auto takes the CPU where there is no GPU.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    return f"cuda:{addresses[0] if addresses else 0}"
