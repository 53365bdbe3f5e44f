"""A network as an OpenVINO graph, which the driver sends to the workers, and its files."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

XML, BIN, CHECKSUMS = "graph.xml", "graph.bin", "graph.sha256"  # in the folder of a graph
# Appended to the XML.
BFLOAT16_MARKER, VNNI_MARKER = b"<!-- bfloat16 but where precise -->", b"<!-- all 8 bits: VNNI -->"


@dataclass(frozen=True)
class Graph:
    """A graph as OpenVINO saves it: `xml` holds the nodes and `bin` the constants."""

    xml: bytes = field(repr=False)
    bin: bytes = field(repr=False)

    @property
    def has_bfloat16(self) -> bool:
        """Return whether all layers that are not marked as precise may compute in bfloat16."""
        return BFLOAT16_MARKER in self.xml[-200:]

    @property
    def needs_vnni(self) -> bool:
        """Return whether its 8-bit convolutions would overflow on processors without VNNI."""
        return VNNI_MARKER in self.xml[-200:]

    def with_marker(self, marker: bytes) -> Graph:
        """Return a copy with a marker at the end of its XML."""
        return Graph(self.xml.replace(b"</net>", marker + b"</net>"), self.bin)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the XML in hexadecimal, which distinguishes graphs of the same weights."""
        return hashlib.sha256(self.xml).hexdigest()

    def to_model(self) -> Any:
        """Return the OpenVINO model, which shares the memory of the constants."""
        import openvino as ov

        return ov.Core().read_model(self.xml, ov.Tensor(np.frombuffer(self.bin, np.uint8)))

    def checksums(self) -> list[str]:
        """Return the lines that `sha256sum graph.xml graph.bin` prints."""
        parts = ((XML, self.xml), (BIN, self.bin))
        return [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in parts]

    def write(self, folder: Path) -> None:
        """Write the graph and its checksums into a folder."""
        (folder / XML).write_bytes(self.xml)
        (folder / BIN).write_bytes(self.bin)
        (folder / CHECKSUMS).write_text("\n".join(self.checksums()) + "\n", "utf-8")


def read_graph(folder: Path) -> Graph:
    """Return the graph in a folder. Raises OSError or ValueError, which names the file, if one has changed."""
    graph = Graph((folder / XML).read_bytes(), (folder / BIN).read_bytes())
    recorded = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    for line in graph.checksums():
        if line not in recorded:
            raise ValueError(f"{line.rpartition(' ')[2]} has another SHA-256 than when it was written")
    return graph


def graph_from_model(model: Any, folder: Path) -> Graph:
    """Return the graph of an OpenVINO model in single precision, which is saved in a folder for that."""
    import openvino as ov

    ov.save_model(model, folder / XML, compress_to_fp16=False)
    return Graph((folder / XML).read_bytes(), (folder / BIN).read_bytes())


def openvino_available() -> bool:
    """Return whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None
