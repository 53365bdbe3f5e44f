"""Layouts of outputs, and detections in them, from hand-made arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.errors import DataError, ImageError
from pipelines.images.crop import Box
from pipelines.localisation.detector_outputs import Detection, OutputLayout, find_layout
from pipelines.localisation.letterbox import Letterbox

PLACE = Letterbox(0, 0, 100, 100)


def yolo(*candidates: tuple[float, ...]) -> np.ndarray:
    return np.array(candidates, float).T[np.newaxis]


def detect(layout: OutputLayout, *outputs: np.ndarray, threshold: float = 0.2) -> list[Detection]:
    return layout.detect(outputs, (100, 100), PLACE, threshold)


def test_columns_of_yolo_are_boxes_by_their_centre_and_the_class_of_the_highest_score() -> None:
    output = yolo((50, 40, 20, 10, 0.1, 0.7), (10, 10, 20, 20, 0.9, 0.3), (70, 70, 5, 5, 0.1, 0.1))
    layout = find_layout([output], 2, "auto")
    assert layout == OutputLayout("columns", (0,), 2, is_transposed=True)
    found = detect(layout, output)
    assert [(each.category, each.score) for each in found] == [(0, 0.9), (1, 0.7)]
    assert found[0].box == pytest.approx(Box(0, 0, 0.2, 0.2)) and found[1].box == pytest.approx(
        Box(0.4, 0.35, 0.2, 0.1)
    )
    rows = output.transpose(0, 2, 1)
    assert detect(find_layout([rows], 2, "yolo"), rows) == found


def test_the_less_certain_of_overlapping_boxes_of_a_class_is_dropped() -> None:
    two = (50, 50, 20, 20, 0.6, 0), (52, 50, 20, 20, 0.8, 0)
    output = yolo(*two, (50, 50, 20, 20, 0, 0.7), (90, 50, 20, 20, 0.5, 0))
    found = detect(find_layout([output], 2, "auto"), output)
    assert [(each.category, each.score) for each in found] == [(0, 0.8), (1, 0.7), (0, 0.5)]
    assert found[2].box == pytest.approx(Box(0.8, 0.4, 0.2, 0.2))  # reaches to the edge


def test_boxes_outside_the_image_are_left_out_and_those_at_its_edge_clipped() -> None:
    output = yolo((150, 150, 20, 20, 0.9), (100, 100, 20, 40, 0.8), (50, 50, -5, 9, 0.7))
    (found,) = detect(find_layout([output], 1, "auto"), output)
    assert found == (0, 0.8, pytest.approx(Box(0.9, 0.8, 0.1, 0.2)))


def test_pairs_of_rtdetr_are_fractions_and_logits() -> None:
    boxes = np.array([[[0.5, 0.5, 0.2, 0.4], [0.25, 0.25, 0.1, 0.1]]])
    logits = np.array([[[-5.0, 2.0, -5.0], [0.0, -5.0, -5.0]]])
    for outputs in ([boxes, logits], [logits, boxes]):
        layout = find_layout(outputs, 3, "auto")
        assert (layout.form, layout.has_logits) == ("pair", True)
        found = detect(layout, *outputs)
        assert [(each.category, round(each.score, 6)) for each in found] == [(1, 0.880797), (0, 0.5)]
        assert found[0].box == pytest.approx(Box(0.4, 0.3, 0.2, 0.4))


def test_labels_boxes_and_scores_of_rtdetr_are_told_apart() -> None:
    labels, edges, scores = np.array([[2, 0]]), np.array([[[10.0, 20, 30, 60], [0, 0, 9, 9]]]), np.array([[0.75, 0.1]])
    for outputs in ([labels, edges, scores], [scores, labels, edges]):
        (found,) = detect(find_layout(outputs, 3, "auto"), *outputs)
        assert found == (2, 0.75, pytest.approx(Box(0.1, 0.2, 0.2, 0.4)))
    with pytest.raises(DataError, match=r"gives the class 2, but detect\.classes names 2, which are 0 to 1"):
        find_layout([labels, edges, scores], 2, "auto")
    with pytest.raises(ImageError, match="gives the class 2, not 0 to 1"):
        detect(OutputLayout("labelled", (0, 1, 2), 2), labels, edges, scores)


def test_yolo_after_its_own_suppression_is_not_taken_for_two_classes() -> None:
    output = np.array([[[10.0, 20, 30, 60, 0.75, 2], [0, 0, 9, 9, 0.1, 0]]])
    (found,) = detect(find_layout([output], 3, "auto"), output)
    assert found == (2, 0.75, pytest.approx(Box(0.1, 0.2, 0.2, 0.4)))
    with pytest.raises(DataError, match=r"Set detect\.output to yolo or to yolo_nms"):
        find_layout([output], 2, "auto")
    assert find_layout([output[:, 1:]], 2, "yolo_nms").form == "ends"


def test_one_array_of_rtdetr_holds_fractions() -> None:
    output = np.array([[[0.5, 0.5, 0.2, 0.4, 0.1, 0.9]]])
    (found,) = detect(find_layout([output], 2, "rtdetr"), output)
    assert found == (1, 0.9, pytest.approx(Box(0.4, 0.3, 0.2, 0.4)))


@pytest.mark.parametrize(
    ("outputs", "expected", "message"),
    [
        ([np.zeros((1, 84, 300))], "auto", r"shapes \(1, 84, 300\)\. With 3 classes .*yolo has \(1, 7, n\).*Name all"),
        ([np.zeros((1, 7, 9)), np.zeros((1, 9, 7))], "yolo", r"\(1, 7, 9\), \(1, 9, 7\)"),
        ([np.zeros((1, 7, 9))], "rtdetr", r"rtdetr has boxes \(1, n, 4\) and scores \(1, n, 3\); labels"),
        ([np.zeros((1, 300, 4)), np.zeros((1, 300, 80))], "auto", r"rtdetr has boxes"),
        ([np.zeros((1, 3, 80, 80))], "auto", r"\(1, 3, 80, 80\)"),
        ([], "auto", "the shapes none"),
        ([np.full((1, 7, 30), np.nan)], "auto", "not finite"),
        ([np.full((1, 7, 30), 0.5)], "auto", "boxes are fractions, but those of YOLO are in pixels"),
        ([np.full((1, 30, 7), 90.0)], "rtdetr", "boxes are in pixels, but those of RT-DETR are fractions"),
        ([np.full((1, 7, 30), -9.0)], "auto", "scores are -9 to -9, but those of YOLO are 0 to 1"),
    ],
)
def test_outputs_of_another_layout_are_refused_with_what_was_expected(outputs, expected, message) -> None:
    with pytest.raises(DataError, match=message):
        find_layout(outputs, 3, expected)


def test_values_of_one_image_that_are_no_boxes_are_its_failure() -> None:
    layout = OutputLayout("columns", (0,), 1, is_transposed=True)
    wrong = (np.nan, 1, 1, 1, 0.9), (1, 1, 1, 1, 7)
    for output, detail in zip(map(yolo, wrong), ("not finite", "are 7 to 7, not 0 to 1"), strict=True):
        with pytest.raises(ImageError, match=detail) as error:
            detect(layout, output)
        assert error.value.failure == "invalid_output"
    assert detect(layout, yolo((1, 1, 1, 1, 0.1))) == []
    assert detect(OutputLayout("pair", (0, 1), 1), np.zeros((1, 0, 4)), np.zeros((1, 0, 1))) == []
