"""Find a backbone's weights. Without torch, so that who only wants to name them need not load it."""

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
from pipelines.errors import WeightsError
from pipelines.resources import resource_dir

SUFFIXES = (".safetensors", ".pth", ".pt")
DOWNLOAD_TIMEOUT = 60  # seconds without a byte, after which a download is given up: some firewalls never answer
PACKAGED_WEIGHTS_DIR = resource_dir("weights")
SAFE_TORCH = (2, 10)  # before it, crafted files run code in spite of weights_only: CVE-2025-32434, CVE-2026-24747
# SHA-256 of torchvision's files. Their names hold only the first 8 digits, which another file can be made to have.
PUBLISHED = frozenset(
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


def find_weights(backbone: str, given: str | None, cache: str) -> Path:
    """Give the weights file: the given one, the one shipped, one in the cache, else torchvision's download.

    Of several in the cache that begin with the backbone's name, the first by name. Raises WeightsError that says
    which file to put where.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsError(f"featurize.weights = {given}: there is no such file.")
        if path.suffix.lower() not in SUFFIXES:
            raise WeightsError(f"featurize.weights = {given}: give a file that ends in {' or '.join(SUFFIXES)}.")
        return path
    return find_local_weights(backbone, cache) or _download(backbone, Path(cache).expanduser())


def find_local_weights(backbone: str, cache: str) -> Path | None:
    """Give the weights file that is shipped, or the first by name in the cache."""
    for place in (PACKAGED_WEIGHTS_DIR, Path(cache).expanduser()):
        found = [path for path in sorted(place.glob(f"{backbone}*")) if _is_weights_of(path, backbone)]
        if found:
            return found[0]
    return None


def read_bytes(path: Path) -> bytes:
    """Give the bytes of a weights file, or raise WeightsError with the system's reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


def require_whole(path: Path, content: bytes) -> None:
    """Raise WeightsError if a cached file is not the one that its name tells of.

    torchvision ends the names of its files with the first digits of their SHA-256: squeezenet1_1-b8a52dc0.pth.
    """
    named = re.search(r"-([0-9a-f]{8})$", path.stem)
    if named and not sha256_hex(content).startswith(named[1]):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {sha256_hex(content)[:8]}, and its name says {named[1]}. Remove "
            "it, and it is downloaded again; or name another file: --weights FILE."
        )


def is_safe_torch(version: str) -> bool:
    """Return whether this version of torch can be given any .pth file to read as tensors."""
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= SAFE_TORCH


def require_listed(path: Path, content: bytes, listed: Collection[str]) -> None:
    """Raise WeightsError for a file that is not in featurize.weights_sha256, where that lists any.

    Files that come with this package, and torchvision's, need no entry.
    """
    own = sha256_hex(content)
    if listed and path.parent != PACKAGED_WEIGHTS_DIR and own not in {*listed, *PUBLISHED}:
        raise WeightsError(
            f"{path} has the SHA-256 {own}, which featurize.weights_sha256 does not list. If this is the file that you "
            "want, add it to the list; else get the right file."
        )


def sha256_hex(content: bytes) -> str:
    """Give the SHA-256 of a weights file, hex."""
    return hashlib.sha256(content).hexdigest()


def _is_weights_of(path: Path, backbone: str) -> bool:
    named = re.fullmatch(rf"{re.escape(backbone)}([-_.@].*)?", path.stem)
    return bool(named) and path.suffix.lower() in SUFFIXES and path.is_file()


def _download(backbone: str, folder: Path) -> Path:
    import torch

    url = _torchvision_url(backbone)
    target = folder / url.rpartition("/")[2]
    checksum = target.stem.rpartition("-")[2]  # torchvision puts the first digits of the SHA-256 into the name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _patience(DOWNLOAD_TIMEOUT):
            torch.hub.download_url_to_file(url, str(target), hash_prefix=checksum, progress=sys.stderr.isatty())
        sync(target)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
        raise WeightsError(
            f"The weights of {backbone} are not in {folder} and cannot be downloaded ({_first_line(error)}). "
            f"Put {target.name} there (from {url}), or name a file: --weights FILE."
        ) from error
    return target


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Limit the waiting of every new connection: torch.hub waits for ever."""
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
    except ValueError as error:  # not torchvision's, so it comes with this package
        raise WeightsError(
            f"The weights of {backbone} are not in {PACKAGED_WEIGHTS_DIR}: install this package again."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
