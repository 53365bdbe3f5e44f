"""Load weights as plain tensors: nothing in a weights file is ever executed."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from pipelines.backbones.weights import TORCHVISION_SHA256, is_safe_torch, sha256_hex
from pipelines.errors import WeightsError

WRAPPER_KEYS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the tensors
PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")  # of DataParallel and torch.compile


def read_state_dict(content: bytes, name: str, allowed_sha256: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or .pth file by name, floating-point ones as float32.

    Wrappers of training scripts are removed. `allowed_sha256`: SHA-256 of .pth files that a torch with known
    vulnerabilities may load, besides torchvision's. Raises WeightsError for other .pth files there, for anything but
    tensors, and for values that are not finite.
    """
    state = _load(content, name, allowed_sha256)
    while isinstance(state, Mapping) and (inner := _unwrap(state)) is not None:
        state = inner
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{name} contains no state_dict: a mapping of names to tensors was expected.")
    tensors = {PREFIXES.sub("", str(key)): _as_float(value) for key, value in state.items()}
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{name} contains values that are not finite (first in {broken[0]}): save or download it again."
        )
    return tensors


def to_safetensors(content: bytes, name: str, allowed_sha256: Collection[str] = ()) -> bytes:
    """Return the weights of a file as .safetensors, which is read without pickle; arguments as of `read_state_dict`."""
    tensors = {key: value.contiguous() for key, value in read_state_dict(content, name, allowed_sha256).items()}
    return bytes(save_safetensors(tensors))


def load_weights(network: torch.nn.Module, state: Mapping[str, Tensor], name: str, head: str | None = None) -> None:
    """Load tensors into the network; with `head`, the classifier's tensors are skipped and need not fit.

    Raises WeightsError if any other tensor is missing, unknown or of another shape.
    """
    inside = () if head is None else (f"{head}.",)
    tensors = {key: value for key, value in state.items() if not key.startswith(inside)}
    own = network.state_dict()
    shapes = [key for key, value in tensors.items() if key in own and value.shape != own[key].shape]
    missing, extra = [key for key in own if key not in tensors], [key for key in tensors if key not in own]
    if not shapes:  # the network maps older names of its tensors itself, such as those of vit_b_16
        missing, extra = network.load_state_dict(tensors, strict=False)
    missing = [key for key in missing if not key.startswith(inside) and not key.endswith("num_batches_tracked")]
    if missing or extra or shapes:
        counts = f"{len(missing)} tensors missing, {len(extra)} unknown, {len(shapes)} of another shape"
        raise WeightsError(
            f"{name} belongs to another network: {counts} (first {[*missing, *extra, *shapes][0]}). "
            "Set featurize.backbone to the network of these weights."
        )


def _load(content: bytes, name: str, allowed_sha256: Collection[str]) -> object:
    is_safetensors = content[8:9] == b"{"  # the length of a JSON header, then the header
    is_pickle = not is_safetensors and content.startswith((b"PK", b"\x80"))  # a zip, or before torch 1.6 a pickle
    if is_pickle:
        _require_trusted(content, name, allowed_sha256)
    try:
        if is_safetensors:
            return load_safetensors(content)
        if is_pickle:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise a dozen types, and torch's message advises executing the file
        reason = f"it is damaged, or contains more than tensors ({type(error).__name__})"
        raise WeightsError(_unreadable_message(name, reason)) from error
    raise WeightsError(_unreadable_message(name, f"it begins with {content[:16]!r}" if content else "it is empty"))


def _require_trusted(content: bytes, name: str, allowed_sha256: Collection[str]) -> None:
    """Raise WeightsError if this torch is vulnerable and the file is neither in `allowed_sha256` nor torchvision's."""
    if is_safe_torch(torch.__version__):
        return
    own = sha256_hex(content)
    if own not in TORCHVISION_SHA256 and own not in allowed_sha256:
        raise WeightsError(
            f"{name} is not loaded: torch {torch.__version__} runs code from crafted .pth files (CVE-2026-24747; torch "
            f"2.10 and later do not). Save the weights as .safetensors, or, if you trust the origin of this file, "
            f"set featurize.weights_sha256={own}"
        )


def _unreadable_message(name: str, reason: str) -> str:
    return (
        f"{name} cannot be read as weights: {reason}. Use a state_dict saved as .safetensors, "
        "or as .pth by torch.save(model.state_dict(), ...)."
    )


def _unwrap(state: Mapping[object, object]) -> Mapping[object, object] | None:
    inner = (state.get(key) for key in WRAPPER_KEYS)
    return next((value for value in inner if isinstance(value, Mapping)), None)


def _as_float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
