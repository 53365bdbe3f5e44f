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
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni
from pipelines.engines.graph import Graph

_REVISION = 12  # of conversion and quantization; graphs of other revisions are not reused
_XML, _BIN, _CHECKSUMS = "graph.xml", "graph.bin", "graph.sha256"
_log = logging.getLogger(__name__)


def load_or_convert(backbone: Backbone, cache: str) -> Graph:
    """Return the backbone's graph from the cache; else convert it (seconds, with torch) and store it there.

    A cached graph is used only if its SHA-256 matches the one written beside it. Raises WeightsError if the weights do
    not fit the network.
    """
    folder = Path(cache).expanduser() / "graphs" / _folder_name(backbone)
    if folder.is_dir():
        try:
            graph = _read(folder)
            with suppress(OSError):  # the cache may belong to another user
                os.utime(folder)  # `irbis clean` removes graphs that are no longer used
            return graph
        except (OSError, ValueError) as error:
            _log.warning("note: %s is damaged (%s): the network is converted again.", folder, error)
    from pipelines.engines.conversion import convert_to_openvino

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=folder.parent)
    except OSError as error:  # a read-only home: every run converts again
        _log.warning("%s cannot store converted networks (%s): each run converts its own.", folder.parent, error)
        scratch = tempfile.mkdtemp()
    try:
        graph = convert_to_openvino(backbone, Path(scratch))
        if Path(scratch).parent == folder.parent:
            _publish(graph, Path(scratch), folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return graph


def _read(folder: Path) -> Graph:
    """Return the graph in a folder. Raises OSError or ValueError, which names the file, if one has changed."""
    graph = Graph((folder / _XML).read_bytes(), (folder / _BIN).read_bytes())
    recorded = (folder / _CHECKSUMS).read_text("utf-8").splitlines()
    for line in _format_checksums(graph):
        if line not in recorded:
            raise ValueError(f"{line.rpartition(' ')[2]} has another SHA-256 than when it was written")
    return graph


def _format_checksums(graph: Graph) -> list[str]:
    """Return the lines that `sha256sum graph.xml graph.bin` prints."""
    parts = ((_XML, graph.xml), (_BIN, graph.bin))
    return [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in parts]


def _publish(graph: Graph, scratch: Path, folder: Path) -> None:
    """Rename the complete folder into place, so that other processes, even after a crash, see all of it or nothing."""
    (scratch / _CHECKSUMS).write_text("\n".join(_format_checksums(graph)) + "\n", "utf-8")
    for path in (*scratch.iterdir(), scratch):
        sync(path)
    try:
        if folder.is_dir():
            with suppress(OSError, ValueError):
                _read(folder)
                return  # another process was first
            shutil.rmtree(folder)
        os.rename(scratch, folder)
        sync(folder.parent)
    except OSError as error:
        if not (folder / _CHECKSUMS).is_file():  # else another process was first
            _log.warning("%s cannot be replaced (%s): each run converts its own.", folder, error)


def _folder_name(backbone: Backbone) -> str:
    version = importlib.metadata.version("openvino")
    # Layers for bfloat16 are chosen by measurement on this processor: with and without bfloat16 there are two graphs.
    parts = (backbone.feature_id, backbone.weights_digest, version, _REVISION, cpu_has_bfloat16(), cpu_has_vnni())
    key = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
    return f"{backbone.name}-{backbone.precision}-{key[:16]}"
