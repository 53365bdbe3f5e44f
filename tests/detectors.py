"""Object detectors whose output is known: the box around the bright part of an image, as OpenVINO models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

SIDE, SCORE = 64, 0.9
OTHERS = 3  # candidates that are no boxes of anything


def _ends(line: Any) -> tuple[Any, Any]:
    """Return the first and the end position of the ones in a line of shape (1, side)."""
    positions = ops.constant(np.arange(SIDE, dtype=np.float32))
    missing = ops.multiply(ops.subtract(np.float32(1), line), np.float32(SIDE))
    first = ops.reduce_min(ops.add(positions, missing), np.array([1]), True)
    last = ops.reduce_max(ops.multiply(line, ops.add(positions, np.float32(1))), np.array([1]), True)
    return first, last


def _bright_box(image: Any) -> tuple[Any, list[Any]]:
    """Return whether pixels are bright (1, 1), and the box around them, left, top, right, bottom, each (1, 1)."""
    darkest = ops.reduce_min(image, np.array([1]), False)
    bright = ops.convert(ops.greater(darkest, np.float32(0.8)), "f32")
    (left, right), (top, bottom) = (_ends(ops.reduce_max(bright, np.array([axis]), False)) for axis in (1, 2))
    return ops.reduce_max(bright, np.array([1, 2]), True), [left, top, right, bottom]


def _centre_form(edges: list[Any], scale: float = 1.0) -> list[Any]:
    left, top, right, bottom = edges
    values = [ops.add(left, right), ops.add(top, bottom), ops.subtract(right, left), ops.subtract(bottom, top)]
    factors = (scale / 2, scale / 2, scale, scale)
    return [ops.multiply(value, np.float32(factor)) for value, factor in zip(values, factors, strict=True)]


def bright_yolo(classes: int = 3, category: int = 0, transposed: bool = False, dynamic: bool = False) -> ov.Model:
    """Return a detector with YOLO's output (1, 4 + classes, 1 + OTHERS): a box of a class around what is bright."""
    image = ops.parameter([-1, 3, -1, -1] if dynamic else [1, 3, SIDE, SIDE], np.float32, name="images")
    is_found, edges = _bright_box(image)
    found = ops.squeeze(is_found, np.array([0]))
    found = ops.squeeze(is_found, np.array([0]))
    scores = [ops.multiply(found, np.float32(SCORE if i == category else 0.05)) for i in range(classes)]
    column = ops.concat([*_centre_form(edges), *scores], 1)
    rest = np.tile(np.array([[32.0], [32], [60], [60], *[[0.01]] * classes], np.float32), (1, OTHERS))
    candidates = ops.concat([ops.unsqueeze(column, np.array([2])), ops.constant(rest[np.newaxis])], 2)
    output = ops.transpose(candidates, np.array([0, 2, 1])) if transposed else candidates
    return ov.Model([output], [image], "yolo")


def bright_rtdetr(classes: int = 3, category: int = 1, labelled: bool = False) -> ov.Model:
    """Return a detector with boxes and logits of RT-DETR, or its labels, boxes by their edges, and scores."""
    image = ops.parameter([1, 3, SIDE, SIDE], np.float32, name="images")
    is_found, edges = _bright_box(image)
    found = ops.squeeze(is_found, np.array([0]))
    if labelled:
        size = ops.parameter([1, 2], np.int64, name="orig_target_sizes")
        scale = ops.divide(ops.convert(size, "f32"), np.float32(SIDE))
        box = ops.multiply(ops.concat(edges, 1), ops.concat([scale, scale], 1))
        labels = ops.constant(np.array([[category]], np.int64))
        outputs = [labels, ops.unsqueeze(box, np.array([1])), ops.multiply(found, np.float32(SCORE))]
        return ov.Model(outputs, [image, size], "rtdetr")
    box = ops.concat(_centre_form(edges, 1 / SIDE), 1)
    high, low = np.float32(np.log(SCORE / (1 - SCORE))), np.float32(-6)
    logit = ops.add(ops.multiply(found, high - low), low)
    logits = ops.concat([logit if i == category else ops.constant(np.array([[low]])) for i in range(classes)], 1)
    return ov.Model([ops.unsqueeze(part, np.array([1])) for part in (box, logits)], [image], "rtdetr")


def constant_output(values: Any, size: int = SIDE) -> ov.Model:
    """Return a detector whose only output is the same for all images."""
    image = ops.parameter([1, 3, size, size], np.float32, name="images")
    nothing = ops.multiply(ops.reduce_mean(image, np.array([0, 1, 2, 3]), False), np.float32(0))
    return ov.Model([ops.add(ops.constant(np.asarray(values, np.float32)), nothing)], [image], "constant")


def save(model: ov.Model, folder: Path, name: str = "bright") -> str:
    """Save a detector as an OpenVINO model, and return its path."""
    path = folder / f"{name}.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return str(path)


def _field(number: int, value: int | bytes | str) -> bytes:
    """Return a field of a message of protocol buffers: a number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def onnx_brightest(box: tuple[float, float, float, float]) -> bytes:
    """Return an ONNX file with YOLO's output (1, 7, 1): a box whose first score is the highest value of the image."""

    def node(operation: str, inputs: list[str], output: str, *attributes: bytes) -> bytes:
        fields = [_field(1, name) for name in inputs] + [_field(2, output), _field(4, operation)]
        return _field(1, b"".join([*fields, *(_field(5, each) for each in attributes)]))

    def tensor(name: str, values: np.ndarray) -> bytes:
        dims = b"".join(_field(1, size) for size in values.shape)
        kind = 7 if values.dtype == np.int64 else 1
        return _field(5, dims + _field(2, kind) + _field(8, name) + _field(9, values.tobytes()))

    def described(number: int, name: str, *sides: int) -> bytes:
        shape = b"".join(_field(1, _field(1, side)) for side in sides)
        return _field(number, _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape))))

    axis = _field(1, "axis") + _field(3, 1) + _field(20, 2)
    parts = [
        node("ReduceMax", ["images"], "highest"),
        node("Reshape", ["highest", "shape"], "score"),
        node("Concat", ["box", "score", "others"], "output", axis),
        _field(2, "brightest"),
        tensor("shape", np.array([1, 1, 1], np.int64)),
        tensor("box", np.array(box, np.float32).reshape(1, 4, 1)),
        tensor("others", np.zeros((1, 2, 1), np.float32)),
        described(11, "images", 1, 3, SIDE, SIDE),
        described(12, "output", 1, 7, 1),
    ]
    return _field(1, 8) + _field(7, b"".join(parts)) + _field(8, _field(2, 13))
