"""Graphs that ship with the package, so that the default backbone needs no torch.

They are in single precision, for every processor. `make graphs` converts them anew.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from pipelines.backbones import Backbone, load_backbone
from pipelines.engines.graph import Graph, read_graph
from pipelines.errors import WeightsError
from pipelines.resources import DATA, resource_dir

_NAMES = ("irbis_tiny", "raw_pixels")


def find_packaged_graph(backbone: Backbone) -> Path | None:
    """Return the folder of the graph for these weights, this size and this normalisation, None if there is none."""
    if backbone.name not in _NAMES:
        return None
    folder = resource_dir("graphs") / _folder_name(backbone)
    return folder if folder.is_dir() else None


def describe(backbone: Backbone) -> str:
    """Return a backbone's name, and why there is no packaged graph if there is one for its defaults."""
    return f"{backbone.name} with other weights or another images.size" if backbone.name in _NAMES else backbone.name


def read_packaged_graph(folder: Path) -> Graph:
    """Return a packaged graph. Raises WeightsError if its files are not those that were shipped."""
    try:
        return read_graph(folder)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} is damaged ({error}): reinstall this package.") from error


def write_packaged_graphs() -> None:
    """Convert the packaged backbones with torch, and replace the folder of their graphs in this checkout."""
    from pipelines.engines.conversion import convert_to_openvino

    target = Path(__file__).resolve().parents[1] / DATA / "graphs"
    shutil.rmtree(target, ignore_errors=True)
    for backbone in map(load_backbone, _NAMES):
        folder = target / _folder_name(backbone)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            convert_to_openvino(backbone, Path(scratch)).write(folder)


def _folder_name(backbone: Backbone) -> str:
    size, mean, std = backbone.preprocessing.size, backbone.preprocessing.mean, backbone.preprocessing.std
    key = hashlib.sha256(repr((backbone.weights_digest, size, mean, std)).encode()).hexdigest()
    return f"{backbone.name}-{key[:16]}"
