"""A network as OpenVINO's graph: converted once on the driver, kept on disk, sent to the workers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.atomic_write import sync
from pipelines.backbones import Backbone
from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni

# At the end of the nodes.
BFLOAT16_NOTE, VNNI_NOTE = b"<!-- bfloat16 but where precise -->", b"<!-- all 8 bits: VNNI -->"
_REVISION = 12  # of conversion and quantization: a graph of another one is not used
_NODES, _CONSTANTS, _SUMS = "graph.xml", "graph.bin", "graph.sha256"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Graph:
    """Hold a graph as OpenVINO writes it: its nodes (XML) and its constants."""

    xml: bytes = field(repr=False)
    bin: bytes = field(repr=False)

    @property
    def has_bfloat16(self) -> bool:
        """Say whether all that is not marked as precise may compute in bfloat16."""
        return BFLOAT16_NOTE in self.xml[-200:]

    @property
    def needs_vnni(self) -> bool:
        """Say whether what it computes in 8 bits would overflow on processors without VNNI."""
        return VNNI_NOTE in self.xml[-200:]

    def with_marker(self, note: bytes) -> Graph:
        """Give the same graph with a note at its end."""
        return Graph(self.xml.replace(b"</net>", note + b"</net>"), self.bin)

    @property
    def digest(self) -> str:
        """Give the SHA-256 of its nodes, hex: of the same weights, they tell graphs apart."""
        return hashlib.sha256(self.xml).hexdigest()

    def model(self) -> Any:
        """Give it as OpenVINO's model, which takes its constants from here."""
        import openvino as ov

        return ov.Core().read_model(self.xml, ov.Tensor(np.frombuffer(self.bin, np.uint8)))


def openvino_available() -> bool:
    """Say whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def load_or_convert(backbone: Backbone, cache: str) -> Graph:
    """Give the backbone's graph from the cache, else convert it (seconds, with torch) and put it there.

    What the cache holds is taken only with the SHA-256 that was written beside it. Raises WeightsError if the weights
    do not fit the network.
    """
    folder = Path(cache).expanduser() / "graphs" / _name(backbone)
    if folder.is_dir():
        try:
            graph = _read(folder)
            with suppress(OSError):  # of a cache that others have made
                os.utime(folder)  # `irbis clean` removes what is not used any more
            return graph
        except (OSError, ValueError) as error:
            _log.warning("note: %s is damaged (%s): the network is converted again.", folder, error)
    from pipelines.engines.conversion import convert_to_openvino

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=folder.parent)
    except OSError as error:  # a read-only home: every run converts anew
        _log.warning("%s cannot hold converted networks (%s): each run converts its own.", folder.parent, error)
        scratch = tempfile.mkdtemp()
    try:
        graph = convert_to_openvino(backbone, Path(scratch))
        if Path(scratch).parent == folder.parent:
            _keep(graph, Path(scratch), folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return graph


def _read(folder: Path) -> Graph:
    """Give the graph of a folder. Raises OSError or ValueError, naming the file, if one is not as it was written."""
    graph = Graph((folder / _NODES).read_bytes(), (folder / _CONSTANTS).read_bytes())
    noted = (folder / _SUMS).read_text("utf-8").splitlines()
    for line in _sums(graph):
        if line not in noted:
            raise ValueError(f"{line.rpartition(' ')[2]} has another SHA-256 than when it was written")
    return graph


def _sums(graph: Graph) -> list[str]:
    """Give the lines that `sha256sum graph.xml graph.bin` prints."""
    parts = ((_NODES, graph.xml), (_CONSTANTS, graph.bin))
    return [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in parts]


def _keep(graph: Graph, scratch: Path, folder: Path) -> None:
    """Give the finished folder its name: another process, or one after a crash, sees all of it or nothing."""
    (scratch / _SUMS).write_text("\n".join(_sums(graph)) + "\n", "utf-8")
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
        if not (folder / _SUMS).is_file():  # else another process was first
            _log.warning("%s cannot be replaced (%s): each run converts its own.", folder, error)


def _name(backbone: Backbone) -> str:
    version = importlib.metadata.version("openvino")
    # What may compute in bfloat16 can only be tried where the processor has it: with and without it are two graphs.
    told = (backbone.feature_id, backbone.weights_digest, version, _REVISION, cpu_has_bfloat16(), cpu_has_vnni())
    key = hashlib.sha256("|".join(map(str, told)).encode()).hexdigest()
    return f"{backbone.name}-{backbone.precision}-{key[:16]}"
