"""Find and verify a backbone's weights. Imports torch only to download, so that naming a backbone stays cheap."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from pipelines.atomic_write import sync
from pipelines.backbones.devices import require_torch
from pipelines.errors import WeightsError
from pipelines.resources import resource_dir

SUFFIXES = (".safetensors", ".pth", ".pt")
DOWNLOAD_TIMEOUT = 60  # seconds without a byte after which a download fails: some firewalls never answer
PACKAGED_WEIGHTS_DIR = resource_dir("weights")
SAFE_TORCH = (2, 10)  # before it, crafted files run code in spite of weights_only: CVE-2025-32434, CVE-2026-24747
# SHA-256 of torchvision's files. Their names contain only the first 8 digits, which a crafted file can match.
TORCHVISION_SHA256 = frozenset(
    {
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",  # squeezenet1_1
        "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",  # mobilenet_v2
        "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",  # mobilenet_v3_small
        "5c1a416349c4cf298f2a6a5e2600ed0ee55e604713578f5e74e6bc8bcaef7997",  # mobilenet_v3_large
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",  # resnet18
        "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",  # resnet50
        "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",  # efficientnet_b0
        "983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d",  # convnext_tiny
        "c867db91d3e12c6cbadabb610d73c24a546bf82d8c03a9fea34f43a712ddb0e9",  # vit_b_16
    }
)


def find_weights(backbone: str, file: str | None, cache: str) -> Path:
    """Return the weights file: `file`, else the packaged one, else one in the cache, else torchvision's download.

    Of several in the cache that begin with the backbone's name, the first by name. Raises WeightsError, which says
    which file to put where.
    """
    if file:
        path = Path(file).expanduser()
        if not path.is_file():
            raise WeightsError(f"featurize.weights = {file}: there is no such file.")
        if path.suffix.lower() not in SUFFIXES:
            raise WeightsError(f"featurize.weights = {file}: expected a file that ends in {' or '.join(SUFFIXES)}.")
        return path
    return find_local_weights(backbone, cache) or _download(backbone, Path(cache).expanduser())


def find_local_weights(backbone: str, cache: str) -> Path | None:
    """Return the packaged weights file, else the first by name in the cache, else None."""
    for folder in (PACKAGED_WEIGHTS_DIR, Path(cache).expanduser()):
        paths = [path for path in sorted(folder.glob(f"{backbone}*")) if _is_weights_of(path, backbone)]
        if paths:
            return paths[0]
    return None


def is_packaged(file: str) -> bool:
    """Return whether the weights file ships with the package; true for a backbone without weights."""
    return not file or Path(file).parent == PACKAGED_WEIGHTS_DIR


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a weights file. Raises WeightsError with the system's reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


def verify_checksum(path: Path, content: bytes) -> None:
    """Raise WeightsError if the SHA-256 of a cached file does not match the one in its name.

    torchvision ends the names of its files with the first digits of their SHA-256: squeezenet1_1-b8a52dc0.pth.
    """
    match = re.search(r"-([0-9a-f]{8})$", path.stem)
    if match and not sha256_hex(content).startswith(match[1]):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {sha256_hex(content)[:8]}, and its name says {match[1]}. "
            "Remove it, and it is downloaded again; or choose another file: --weights FILE."
        )


def is_safe_torch(version: str) -> bool:
    """Return whether this version of torch reads any .pth file as tensors without executing code from it."""
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= SAFE_TORCH


def require_allowed(path: Path, content: bytes, allowed_sha256: Collection[str]) -> None:
    """Raise WeightsError for a file that is not in featurize.weights_sha256, if that lists any.

    Packaged files and torchvision's need no entry.
    """
    own = sha256_hex(content)
    if allowed_sha256 and not is_packaged(str(path)) and own not in {*allowed_sha256, *TORCHVISION_SHA256}:
        raise WeightsError(
            f"{path} has the SHA-256 {own}, which featurize.weights_sha256 does not list. If this is the right file, "
            "add it to the list; else get the right file."
        )


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of a weights file in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _is_weights_of(path: Path, backbone: str) -> bool:
    match = re.fullmatch(rf"{re.escape(backbone)}([-_.@].*)?", path.stem)
    return bool(match) and path.suffix.lower() in SUFFIXES and path.is_file()


def _download(backbone: str, folder: Path) -> Path:
    require_torch(f"featurize.backbone = {backbone}")
    import torch

    url = _torchvision_url(backbone)
    target = folder / url.rpartition("/")[2]
    checksum = target.stem.rpartition("-")[2]  # torchvision puts the first digits of the SHA-256 into the name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _limit_connection_time(DOWNLOAD_TIMEOUT):
            torch.hub.download_url_to_file(url, str(target), hash_prefix=checksum, progress=sys.stderr.isatty())
        sync(target)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
        raise WeightsError(
            f"The weights of {backbone} are not in {folder} and cannot be downloaded ({_first_line(error)}). "
            f"Put {target.name} there (from {url}), or choose a file: --weights FILE."
        ) from error
    return target


@contextmanager
def _limit_connection_time(seconds: float) -> Iterator[None]:
    """Set a timeout for every new connection: torch.hub waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _torchvision_url(backbone: str) -> str:
    from torchvision.models import get_model_weights

    try:
        return str(get_model_weights(backbone).DEFAULT.url)
    except ValueError as error:  # not torchvision's: packaged
        raise WeightsError(
            f"The weights of {backbone} are not in {PACKAGED_WEIGHTS_DIR}: reinstall this package."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
