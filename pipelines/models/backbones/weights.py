"""Find a backbone's weights and load them as plain tensors: nothing in a weights file is ever executed."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from pipelines.errors import WeightsError

SUFFIXES = (".safetensors", ".pth", ".pt")
SHIPPED = Path(__file__).with_name("weights")


def find_weights(backbone: str, given: str | None, cache: str) -> Path:
    """Give the weights file: the given one, the one shipped, one in the cache, else torchvision's download.

    Raises WeightsError that says which file to put where.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsError(f"featurize.weights = {given}: there is no such file.")
        if path.suffix not in SUFFIXES:
            raise WeightsError(f"featurize.weights = {given}: give a file that ends in {' or '.join(SUFFIXES)}.")
        return path
    folder = Path(cache).expanduser()
    for place in (SHIPPED, folder):
        found = [path for path in sorted(place.glob(f"{backbone}*")) if _is_weights_of(path, backbone)]
        if found:
            return found[0]
    return _download(backbone, folder)


def read_state(content: bytes, name: str) -> dict[str, Tensor]:
    """Give the tensors of a .safetensors or .pth file by name, as float32, without what training wrapped around."""
    try:
        if _is_safetensors(content):
            state: object = load_safetensors(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{name} cannot be read as weights ({_first_line(error)}). Give a state_dict saved as .safetensors, "
            "or as .pth by torch.save(model.state_dict(), ...)."
        ) from error
    while isinstance(state, Mapping) and isinstance(inner := state.get("state_dict", state.get("model")), Mapping):
        state = inner
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{name} holds no state_dict: a mapping of names to tensors was expected.")
    return {str(key).removeprefix("module."): _as_float(value) for key, value in state.items()}


def load_into(network: torch.nn.Module, state: Mapping[str, Tensor], name: str, head: str | None = None) -> None:
    """Load tensors; with `head`, the classifier's are left out and need not fit.

    Raises WeightsError if anything else is missing, left over or of another shape.
    """
    wanted = network.state_dict()
    kept = {k: v for k, v in state.items() if not (head and k.startswith(f"{head}."))}
    missing = [k for k in wanted if k not in kept and not (head and k.startswith(f"{head}."))]
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    extra = [k for k in kept if k not in wanted]
    shapes = [k for k in kept if k in wanted and kept[k].shape != wanted[k].shape]
    if missing or extra or shapes:
        counts = f"{len(missing)} tensors missing, {len(extra)} unknown, {len(shapes)} of another shape"
        raise WeightsError(
            f"{name} belongs to another network: {counts} (first {[*missing, *extra, *shapes][0]}). "
            "Set featurize.backbone to the network that these weights are of."
        )
    network.load_state_dict(dict(kept), strict=False)


def digest(content: bytes) -> str:
    """Give the SHA-256 of a weights file, hex."""
    return hashlib.sha256(content).hexdigest()


def _is_weights_of(path: Path, backbone: str) -> bool:
    return path.suffix in SUFFIXES and bool(re.fullmatch(rf"{backbone}([-_.@].*)?", path.stem))


def _download(backbone: str, folder: Path) -> Path:
    from torchvision.models import get_model_weights

    url = get_model_weights(backbone).DEFAULT.url
    target = folder / url.rpartition("/")[2]
    checksum = target.stem.rpartition("-")[2]  # torchvision puts the first digits of the SHA-256 into the name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(target), hash_prefix=checksum, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights of {backbone} are not in {folder} and cannot be downloaded ({_first_line(error)}). "
            f"Put {target.name} there, or name a file: --weights FILE."
        ) from error
    return target


def _is_safetensors(content: bytes) -> bool:
    """A safetensors file starts with the length of a JSON header; a .pth file is a zip or a pickle."""
    return content[8:9] == b"{"


def _as_float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
