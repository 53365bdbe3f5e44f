"""An object detector that the user brings, an ONNX or OpenVINO file, run by OpenVINO on CPUs."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.engines.engine_cache import get_or_build
from pipelines.engines.graph import Graph, graph_from_model, openvino_available
from pipelines.engines.openvino_options import cpu_options
from pipelines.errors import DataError, PlatformError, SettingsError
from pipelines.localisation.detector_outputs import OutputLayout, OutputName, find_layout
from pipelines.localisation.letterbox import GREY

FRAMEWORKS = {".onnx": "onnx", ".xml": "ir"}
_TYPES: dict[str, Any] = {"f32": np.float32, "f16": np.float16}
_engines: dict[tuple[str, int, int, int], DetectorEngine] = {}

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Detector:
    """A detector: its graph for one image of width x height pixels, and how it takes the image and gives boxes.

    `sha256`: of its file. `has_channels_last`: takes (1, height, width, 3). `size_input`: the index of an input for the
    size of the image, as RT-DETR's exports have; null: none.
    """

    graph: Graph
    sha256: str
    width: int
    height: int
    image_input: int
    has_channels_last: bool
    element_type: str
    size_input: int | None
    layout: OutputLayout | None = None


class DetectorEngine:
    """A detector that is compiled for this machine, for one call at a time."""

    def __init__(self, detector: Detector, threads: int = 1) -> None:
        import openvino as ov

        self.detector = detector
        compiled = ov.Core().compile_model(detector.graph.to_model(), "CPU", cpu_options(threads))
        self._outputs = len(compiled.outputs)
        self._request = compiled.create_infer_request()

    def __call__(self, pixels: Array) -> list[Array]:
        """Return the outputs for an image, uint8 of shape (height, width, 3)."""
        detector = self.detector
        values = pixels
        if detector.element_type != "u8":
            values = (pixels / np.float32(255)).astype(_TYPES[detector.element_type])
        image = values if detector.has_channels_last else np.moveaxis(values, 2, 0)
        inputs = {detector.image_input: np.ascontiguousarray(image)[np.newaxis]}
        if detector.size_input is not None:
            inputs[detector.size_input] = np.array([[detector.width, detector.height]], np.int64)
        self._request.infer(inputs)
        return [self._request.get_output_tensor(i).data.copy() for i in range(self._outputs)]


def require_detector_file(name: str | None) -> Path:
    """Return the detector's file. Raises SettingsError if it is not there or of another kind; reads nothing."""
    if not openvino_available():
        raise PlatformError("irbis detect needs OpenVINO, which is not installed: pip install openvino.")
    if not name:
        raise SettingsError("No detector is set. Give its ONNX or OpenVINO file: irbis detect --detector FILE.")
    path = Path(name).expanduser()
    if path.suffix.lower() not in FRAMEWORKS:
        raise SettingsError(f"detect.detector = {name}: an ONNX file (.onnx) or an OpenVINO model (.xml) was expected.")
    if not path.is_file():
        raise SettingsError(f"detect.detector = {name}: there is no such file on this machine.")
    if path.suffix.lower() == ".xml" and not path.with_suffix(".bin").is_file():
        raise SettingsError(f"detect.detector = {name}: its weights, {path.stem}.bin, are not beside it.")
    return path


def weights_beside(path: Path) -> list[Path]:
    """Return the files with weights of a detector's file, which are beside it."""
    suffixes = (".bin",) if path.suffix.lower() == ".xml" else (f"{path.suffix}.data", ".data")
    return [file for suffix in suffixes if (file := path.with_suffix(suffix)).is_file()]


def load_detector(name: str | None, input_size: int | None, classes: int, output: OutputName) -> Detector:
    """Read a detector's file, and run it on a grey image to learn the layout of its outputs.

    `input_size`: side of its input in pixels; null: that of the file. Raises SettingsError or DataError, which say what
    does not fit.
    """
    path = require_detector_file(name)
    digest = hashlib.sha256(path.read_bytes())
    for weights in weights_beside(path):
        digest.update(weights.read_bytes())
    detector = _prepare(_read_model(path), path, input_size, digest.hexdigest())
    pixels = np.full((detector.height, detector.width, 3), GREY, np.uint8)
    try:
        outputs = DetectorEngine(detector)(pixels)
    except RuntimeError as error:
        raise DataError(f"{path}: OpenVINO cannot run the detector ({_reason(error)}).") from error
    return replace(detector, layout=find_layout(outputs, classes, output))


def engine_of(light: Detector, fetch: Callable[[], Detector], threads: int) -> DetectorEngine:
    """Return the engine of this process for a detector; it is fetched and compiled at the first call.

    `light`: the detector without its graph.
    """
    key = (light.sha256, light.width, light.height, threads)
    return get_or_build(_engines, key, lambda: DetectorEngine(fetch(), threads))


def _read_model(path: Path) -> Any:
    """Read a file by the front end of its kind alone: others would write their own complaints."""
    from openvino.frontend import FrontEndManager

    try:
        front_end = FrontEndManager().load_by_framework(FRAMEWORKS[path.suffix.lower()])
        model = front_end.convert(front_end.load(str(path)))
        if not model.inputs:
            raise RuntimeError("it has no input")
        return model
    except Exception as error:  # front ends raise classes of their own
        raise DataError(
            f"{path} cannot be read as an {'ONNX file' if path.suffix.lower() == '.onnx' else 'OpenVINO model'} "
            f"({_reason(error)}). Export or download it again."
        ) from error


def _prepare(model: Any, path: Path, input_size: int | None, sha256: str) -> Detector:
    """Return the detector with a graph for one image of a fixed size."""
    shapes = [each.get_partial_shape() for each in model.inputs]
    images = [i for i, shape in enumerate(shapes) if shape.rank.is_static and len(shape) == 4]
    others = [i for i in range(len(shapes)) if i not in images]
    if len(images) != 1 or len(others) > 1:
        shown = ", ".join(str(shape) for shape in shapes)
        raise DataError(f"{path}: its inputs are {shown}. One image, (1, 3, height, width), was expected.")
    sides = [int(side.get_length()) if side.is_static else None for side in shapes[images[0]]]
    is_last = sides[1] != 3 and sides[3] == 3
    if not is_last and sides[1] not in (3, None):
        raise DataError(f"{path}: its input has the shape {shapes[images[0]]}. Three channels were expected.")
    height, width = sides[1:3] if is_last else sides[2:]
    if input_size is None and not (height and width):
        raise SettingsError(f"{path} takes images of any size. Set detect.input_size, such as 640.")
    for side in (height, width):
        if input_size is not None and side not in (None, input_size):
            raise SettingsError(f"detect.input_size = {input_size}, but {path.name} takes {width} x {height} pixels.")
    height, width = height or input_size, width or input_size
    assert height and width
    image = [1, height, width, 3] if is_last else [1, 3, height, width]
    kind = model.inputs[images[0]].get_element_type().get_type_name()
    if kind not in (*_TYPES, "u8"):
        raise DataError(f"{path}: its input is of the type {kind}; f32, f16 or u8 was expected.")
    names = {model.inputs[images[0]]: image, **{model.inputs[i]: [1, 2] for i in others}}
    try:
        model.reshape(names)
        with tempfile.TemporaryDirectory() as folder:
            graph = graph_from_model(model, Path(folder))
    except RuntimeError as error:
        raise DataError(f"{path} does not take images of {width} x {height} pixels ({_reason(error)}).") from error
    return Detector(graph, sha256, width, height, images[0], is_last, kind, others[0] if others else None)


def _reason(error: Exception) -> str:
    """Return the last sentence of OpenVINO's message, which says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
