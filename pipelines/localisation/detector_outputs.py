"""The outputs of object detectors: which of them are boxes and scores, and the detections in them. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from pipelines.errors import DataError, ImageError
from pipelines.images.crop import Box
from pipelines.localisation.letterbox import Letterbox
from pipelines.schemas import Failure

OutputName = Literal["auto", "yolo", "yolo_nms", "rtdetr"]
NMS_IOU = 0.45  # of two boxes of a class, the less certain is dropped from this overlap on
MAX_CANDIDATES, MAX_DETECTIONS = 1000, 100  # of an image, the most certain ones
MIN_PIXELS = 2.0  # if no coordinate of MIN_ROWS candidates exceeds it, they are fractions
MIN_ROWS = 20
NMS_COLUMNS = 6  # of YOLO's output after its own suppression: edges, score, class

Array = np.ndarray[Any, np.dtype[Any]]


class Detection(NamedTuple):
    """A box in fractions of the image, the index of its class, and its score."""

    category: int
    score: float
    box: Box


class _Candidates(NamedTuple):
    """Boxes (left, top, right, bottom; pixels of the input; shape (n, 4)), the class and score of each."""

    edges: Array
    categories: Array
    scores: Array


@dataclass(frozen=True)
class OutputLayout:
    """How the detections of one image are read from the outputs of a detector with a number of classes.

    `form`: columns (boxes in pixels and scores in one array, as YOLO has them), ends (edges in pixels, score and class
    in one array, after YOLO's suppression), joined (boxes in fractions and scores in one array), pair (boxes in
    fractions, scores) or labelled (classes, edges in pixels, scores). `indices`: of the outputs, in this order.
    `is_transposed`: each candidate is a column. `has_logits`: scores are before the sigmoid.
    """

    form: Literal["columns", "ends", "joined", "pair", "labelled"]
    indices: tuple[int, ...]
    classes: int
    is_transposed: bool = False
    has_logits: bool = False

    def detect(
        self, outputs: Sequence[Array], size: tuple[int, int], place: Letterbox, threshold: float
    ) -> list[Detection]:
        """Return the detections of an image, the most certain first.

        `size`: width and height of the input. Raises ImageError for values that are no boxes and scores.
        """
        candidates = self._candidates(outputs, size)
        if not (np.isfinite(candidates.edges).all() and np.isfinite(candidates.scores).all()):
            raise ImageError(Failure.INVALID_OUTPUT, "boxes or scores of the detector are not finite")
        if len(candidates.scores) and not 0 <= candidates.scores.min() <= candidates.scores.max() <= 1.0001:
            span = f"{candidates.scores.min():.3g} to {candidates.scores.max():.3g}"
            raise ImageError(Failure.INVALID_OUTPUT, f"scores of the detector are {span}, not 0 to 1")
        kept = np.flatnonzero(candidates.scores >= threshold)
        kept = kept[np.argsort(-candidates.scores[kept], kind="stable")][:MAX_CANDIDATES]
        if self.form == "columns":
            kept = kept[_suppress(candidates.edges[kept], candidates.categories[kept])]
        found = []
        for i in kept:
            if box := place.to_image(candidates.edges[i]):
                found.append(Detection(int(candidates.categories[i]), min(float(candidates.scores[i]), 1.0), box))
        return found[:MAX_DETECTIONS]

    def _candidates(self, outputs: Sequence[Array], size: tuple[int, int]) -> _Candidates:
        parts = [np.asarray(outputs[i][0], np.float64) for i in self.indices]
        if self.form in ("labelled", "ends"):
            labels, edges, scores = _split_labelled(parts)
            if (wrong := _wrong_label(labels, self.classes)) is not None:
                raise ImageError(
                    Failure.INVALID_OUTPUT, f"the detector gives the class {wrong:g}, not 0 to {self.classes - 1}"
                )
            return _Candidates(edges, labels.astype(int), scores)
        boxes, scores = _split_scores(self, parts)
        if self.has_logits:
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        if self.form != "columns":
            boxes = boxes * [*size, *size]
        half = boxes[:, 2:] / 2
        edges = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        return _Candidates(edges, scores.argmax(axis=1), scores.max(axis=1))


def find_layout(outputs: Sequence[Array], classes: int, expected: OutputName) -> OutputLayout:
    """Return the layout of the outputs that a detector gives for one image. Raises DataError, which lists their shapes.

    `expected`: auto takes a single output for that of YOLO, several for those of RT-DETR.
    """
    shapes = [each.shape for each in outputs]
    form = expected
    if form == "auto":
        form = "yolo" if len(outputs) == 1 else "rtdetr"
        if len(outputs) == 1 and len(shapes[0]) == 3 and shapes[0][2] == NMS_COLUMNS:
            if classes == NMS_COLUMNS - 4:
                raise DataError(
                    f"The detector's output has the shape {shapes[0]}: that of YOLO with {classes} classes and that of "
                    "YOLO after its own suppression. Set detect.output to yolo or to yolo_nms."
                )
            form = "yolo_nms"
    layout = _FIND[form](shapes, classes)
    if layout is None:
        wanted = {
            "yolo": f"(1, {4 + classes}, n)",
            "yolo_nms": f"(1, n, {NMS_COLUMNS})",
            "rtdetr": f"boxes (1, n, 4) and scores (1, n, {classes}); labels (1, n), boxes (1, n, 4) and scores "
            f"(1, n); or (1, n, {4 + classes})",
        }[form]
        raise DataError(
            f"The detector's outputs have the shapes {', '.join(map(str, shapes)) or 'none'}. With {classes} classes "
            f"(detect.classes), {form} has {wanted}. Name all classes of the detector in detect.classes, in its order, "
            "or choose another detect.output."
        )
    return _check_values(layout, outputs)


def _find_columns(shapes: Sequence[tuple[int, ...]], classes: int) -> OutputLayout | None:
    fitting = [i for i, shape in enumerate(shapes) if len(shape) == 3 and 4 + classes in shape[1:]]
    if len(fitting) != 1:
        return None
    return OutputLayout("columns", (fitting[0],), classes, is_transposed=shapes[fitting[0]][1] == 4 + classes)


def _find_ends(shapes: Sequence[tuple[int, ...]], classes: int) -> OutputLayout | None:
    is_ends = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == NMS_COLUMNS
    return OutputLayout("ends", (0,), classes) if is_ends else None


def _find_rtdetr(shapes: Sequence[tuple[int, ...]], classes: int) -> OutputLayout | None:
    if len(shapes) == 1:
        is_joined = len(shapes[0]) == 3 and shapes[0][2] == 4 + classes
        return OutputLayout("joined", (0,), classes) if is_joined else None
    boxes = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[2] == 4]
    flat = [i for i, shape in enumerate(shapes) if len(shape) == 2]
    if len(shapes) == 3 and len(boxes) == 1 and len(flat) == 2:
        return OutputLayout("labelled", (flat[0], boxes[0], flat[1]), classes)
    scores = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[2] == classes]
    if len(shapes) != 2 or not boxes or not scores:
        return None
    if classes == 4:  # both have the same shape: boxes come last, as in Transformers
        boxes, scores = [1], [0]
    return OutputLayout("pair", (boxes[0], scores[0]), classes)


_FIND = {"yolo": _find_columns, "yolo_nms": _find_ends, "rtdetr": _find_rtdetr}


def _check_values(layout: OutputLayout, outputs: Sequence[Array]) -> OutputLayout:
    """Return the layout, with logits if there are any. Raises DataError for values of another layout."""
    parts = [np.asarray(outputs[i][0], np.float64) for i in layout.indices]
    if not all(np.isfinite(part).all() for part in parts):
        raise DataError(
            "The detector's output for a grey image is not finite (NaN or infinite). The file is damaged, or was "
            "converted in a precision that is too low: export it again in single precision."
        )
    if layout.form in ("labelled", "ends"):
        return _check_labels(layout, outputs)
    boxes, scores = _split_scores(layout, parts)
    are_fractions = len(boxes) >= MIN_ROWS and bool(np.abs(boxes).max() <= MIN_PIXELS)
    if layout.form == "columns" and are_fractions:
        raise DataError(
            "The detector's boxes are fractions, but those of YOLO are in pixels. Set detect.output to rtdetr."
        )
    if layout.form != "columns" and len(boxes) and np.abs(boxes).max() > MIN_PIXELS:
        raise DataError(
            "The detector's boxes are in pixels, but those of RT-DETR are fractions. Set detect.output to yolo."
        )
    has_logits = bool(scores.size and (scores.min() < 0 or scores.max() > 1.0001))
    if has_logits and layout.form == "columns":
        raise DataError(
            f"The detector's scores are {scores.min():.3g} to {scores.max():.3g}, but those of YOLO are 0 to 1. Export "
            "it with its last activation, and with detect.classes in the order of its classes."
        )
    return OutputLayout(layout.form, layout.indices, layout.classes, layout.is_transposed, has_logits)


def _check_labels(layout: OutputLayout, outputs: Sequence[Array]) -> OutputLayout:
    """Return the layout with labels, which are whole numbers, before scores. Raises DataError for unknown labels."""
    if layout.form == "labelled":
        first, last = outputs[layout.indices[0]], outputs[layout.indices[2]]
        are_labels = [each.dtype.kind in "iu" for each in (first, last)]
        if not any(are_labels):
            are_labels = [bool((each == np.round(each)).all()) for each in (first, last)]
        if not are_labels[0]:
            layout = OutputLayout("labelled", layout.indices[::-1], layout.classes)
    labels, _, _ = _split_labelled([np.asarray(outputs[i][0], np.float64) for i in layout.indices])
    if (wrong := _wrong_label(labels, layout.classes)) is not None:
        raise DataError(
            f"The detector gives the class {wrong:g}, but detect.classes names {layout.classes}, which are 0 to "
            f"{layout.classes - 1}. Name all classes of the detector in detect.classes, in its order."
        )
    return layout


def _split_scores(layout: OutputLayout, parts: Sequence[Array]) -> tuple[Array, Array]:
    """Return boxes and the scores of all classes of outputs without labels."""
    if layout.form == "pair":
        return parts[0], parts[1]
    rows = parts[0].T if layout.is_transposed else parts[0]
    return rows[:, :4], rows[:, 4:]


def _split_labelled(parts: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return labels, edges and scores of outputs with labels."""
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    rows = parts[0]
    return rows[:, 5], rows[:, :4], rows[:, 4]


def _wrong_label(labels: Array, classes: int) -> float | None:
    """Return a label that is no index of a class; None if there is none."""
    wrong = labels[~((labels >= 0) & (labels < classes) & (labels == np.round(labels)))]
    return float(wrong[0]) if len(wrong) else None


def _suppress(edges: Array, categories: Array) -> list[int]:
    """Return the indices of boxes that no more certain box of their class overlaps; the most certain come first."""
    areas = np.prod(np.clip(edges[:, 2:] - edges[:, :2], 0, None), axis=1)
    left, kept = np.arange(len(edges)), list[int]()
    while len(left):
        i, others = int(left[0]), left[1:]
        kept.append(i)
        overlap = np.prod(
            np.clip(np.minimum(edges[i, 2:], edges[others, 2:]) - np.maximum(edges[i, :2], edges[others, :2]), 0, None),
            axis=1,
        )
        iou = overlap / np.maximum(areas[i] + areas[others] - overlap, 1e-12)
        left = others[(iou < NMS_IOU) | (categories[others] != categories[i])]
    return kept
