"""A network as an OpenVINO graph, which the driver sends to the workers."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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


def openvino_available() -> bool:
    """Return whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None
