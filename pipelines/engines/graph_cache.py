"""The cache of converted networks: converted once on the driver, kept on disk with their checksums."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from pipelines.atomic_write import sync
from pipelines.backbones import Backbone
from pipelines.backbones.devices import require_torch
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import CHECKSUMS, Graph, read_graph
from pipelines.engines.packaged_graphs import describe, find_packaged_graph, read_packaged_graph
from pipelines.engines.reduced_precision import reduce_precision

_REVISION = 12  # of conversion and quantization; graphs of other revisions are not reused
_log = logging.getLogger(__name__)


def load_or_convert(backbone: Backbone, cache: str) -> Graph:
    """Return the backbone's graph from the cache; else prepare it in seconds for this processor and store it there.

    It is prepared from the graph that ships with the package, else from the weights, which needs torch.

    A cached graph is used only if its SHA-256 matches the one written beside it. Raises WeightsError if the weights do
    not fit the network.
    """
    folder = _folder(backbone, cache)
    if folder.is_dir():
        try:
            graph = read_graph(folder)
            with suppress(OSError):  # the cache may belong to another user
                os.utime(folder)  # `irbis clean` removes graphs that are no longer used
            return graph
        except (OSError, ValueError) as error:
            _log.warning("note: %s is damaged (%s): the network is converted again.", folder, error)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=folder.parent)
    except OSError as error:  # a read-only home: every run converts again
        _log.warning("%s cannot store converted networks (%s): each run converts its own.", folder.parent, error)
        scratch = tempfile.mkdtemp()
    try:
        graph = reduce_precision(_load_single_precision(backbone, Path(scratch)), backbone, Path(scratch))
        if Path(scratch).parent == folder.parent:
            _publish(graph, Path(scratch), folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return graph


def require_convertible(backbone: Backbone, cache: str) -> None:
    """Raise PlatformError if the graph is neither in the package nor in the cache, and torch is missing."""
    if find_packaged_graph(backbone) is None and not _folder(backbone, cache).is_dir():
        require_torch(f"featurize.backbone = {describe(backbone)}")


def _load_single_precision(backbone: Backbone, folder: Path) -> Graph:
    if packaged := find_packaged_graph(backbone):
        return read_packaged_graph(packaged)
    require_torch(f"featurize.backbone = {describe(backbone)}")
    from pipelines.engines.conversion import convert_to_openvino

    return convert_to_openvino(backbone, folder)


def _publish(graph: Graph, scratch: Path, folder: Path) -> None:
    """Rename the complete folder into place, so that other processes, even after a crash, see all of it or nothing."""
    graph.write(scratch)
    for path in (*scratch.iterdir(), scratch):
        sync(path)
    try:
        if folder.is_dir():
            with suppress(OSError, ValueError):
                read_graph(folder)
                return  # another process was first
            shutil.rmtree(folder)
        os.rename(scratch, folder)
        sync(folder.parent)
    except OSError as error:
        if not (folder / CHECKSUMS).is_file():  # else another process was first
            _log.warning("%s cannot be replaced (%s): each run converts its own.", folder, error)


def _folder(backbone: Backbone, cache: str) -> Path:
    version = importlib.metadata.version("openvino")
    # Layers for bfloat16 are chosen by measurement on this processor: with and without bfloat16 there are two graphs.
    parts = (backbone.feature_id, backbone.weights_digest, version, _REVISION, cpu_has_bfloat16(), cpu_has_vnni())
    key = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
    return Path(cache).expanduser() / "graphs" / f"{backbone.name}-{backbone.precision}-{key[:16]}"
