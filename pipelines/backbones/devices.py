"""Choose the device on which a network runs. torch, which is optional, is imported only to use it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

from pipelines.errors import PlatformError, SettingsError

INSTALL_TORCH = "pip install 'irbis[torch]', or `make full` in a clone"


def torch_available() -> bool:
    """Return whether torch and torchvision, the extra `torch`, are installed. Imports neither."""
    return find_spec("torch") is not None and find_spec("torchvision") is not None


def require_torch(setting: str) -> None:
    """Raise PlatformError, which says how to install torch, if `setting` needs it and it is missing."""
    if not torch_available():
        raise PlatformError(f"{setting} needs torch, which is not installed: {INSTALL_TORCH}.")


def has_nvidia_driver() -> bool:
    """Return whether this machine has the driver of an NVIDIA GPU. Needs no torch."""
    return os.path.exists("/dev/nvidiactl")


def list_gpus() -> list[str]:
    """List the names of the GPUs that torch can use; none without torch."""
    if not torch_available():
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(i) for i in range(count)]


def resolve_device(device: str, addresses: Sequence[str] = ()) -> str:
    """Return `cpu` or `cuda:N`: the GPU at the first address that Spark assigned to the task, else the first GPU.

    `device` is auto, cpu or cuda; auto means the CPU if there is no GPU. Raises SettingsError for any other value,
    for cuda without a GPU, and for an address that torch does not see; PlatformError without torch.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"featurize.device = {device}: expected auto, cpu or cuda.")
    if device == "cpu":
        return "cpu"
    require_torch(f"featurize.device = {device} on a GPU")
    import torch

    if device == "auto" and not torch.cuda.is_available():
        return "cpu"
    if not torch.cuda.is_available():
        raise SettingsError("featurize.device = cuda: torch finds no GPU here. Set it to auto or cpu.")
    return f"cuda:{_gpu_index(addresses[0]) if addresses else 0}"


def _gpu_index(address: str) -> int:
    """Return torch's index of a GPU: torch counts the devices in CUDA_VISIBLE_DEVICES from 0."""
    import torch

    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    count = torch.cuda.device_count()
    index = visible.index(address) if address in visible else int(address) if address.isdecimal() else count
    if index >= count:
        raise SettingsError(
            f"Spark assigned GPU {address} to this task, but torch sees {count} (CUDA_VISIBLE_DEVICES: "
            f"{', '.join(visible) or 'not set'}). Let the discovery script return addresses that the workers see."
        )
    return index
