"""Detectors from files: models with a known output, and files that nobody should have to debug."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.engines.detector import DetectorEngine, engine_of, load_detector, require_detector_file, weights_beside
from pipelines.errors import DataError, SettingsError
from pipelines.images.crop import Box
from pipelines.localisation.letterbox import letterbox

from ..detectors import SCORE, SIDE, bright_rtdetr, bright_yolo, constant_output, onnx_brightest, save

BOX = Box(0.25, 0.5, 0.5, 0.25)  # of the bright part


def image(with_box: bool = True, width: int = 128, height: int = 64) -> Image.Image:
    pixels = np.full((height, width, 3), 60, np.uint8)
    if with_box:
        x, y, w, h = (round(side * edge) for side, edge in zip((width, height) * 2, BOX, strict=True))
        pixels[y : y + h, x : x + w] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["columns", "rows", "pair", "labelled", "any size"])
def test_the_bright_part_is_found_by_every_layout(kind, tmp_path) -> None:
    model = {
        "columns": bright_yolo(category=1),
        "rows": bright_yolo(category=1, transposed=True),
        "pair": bright_rtdetr(),
        "labelled": bright_rtdetr(labelled=True),
        "any size": bright_yolo(category=1, dynamic=True),
    }[kind]
    path = save(model, tmp_path)
    detector = load_detector(path, SIDE if kind == "any size" else None, 3, "auto")
    assert (detector.width, detector.height) == (SIDE, SIDE)
    engine = DetectorEngine(detector)
    pixels, place = letterbox(image(), SIDE, SIDE)
    (found,) = detector.layout.detect(engine(pixels), (SIDE, SIDE), place, 0.3)
    assert (found.category, found.score) == (1, pytest.approx(SCORE, abs=1e-6))
    assert found.box == pytest.approx(BOX, abs=1e-6)
    pixels, place = letterbox(image(with_box=False), SIDE, SIDE)
    assert detector.layout.detect(engine(pixels), (SIDE, SIDE), place, 0.3) == []


def test_an_onnx_file_gets_values_of_0_to_1_and_a_truncated_one_is_refused(tmp_path) -> None:
    path = tmp_path / "brightest.onnx"
    content = onnx_brightest((32, 40, 32, 8))
    path.write_bytes(content)
    detector = load_detector(str(path), None, 3, "auto")
    pixels, place = letterbox(Image.new("RGB", (128, 64), (20, 20, 204)), SIDE, SIDE)
    (found,) = detector.layout.detect(DetectorEngine(detector)(pixels), (SIDE, SIDE), place, 0.3)
    assert (found.category, found.score) == (0, pytest.approx(0.8))
    assert found.box == pytest.approx(Box(0.25, 0.625, 0.5, 0.25))
    path.write_bytes(content[:-40])
    with pytest.raises(DataError, match=r"brightest\.onnx cannot be read as an ONNX file \(.*\)\. Export or download"):
        load_detector(str(path), None, 3, "auto")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07nonsense" * 40, b"version https://git-lfs"])
def test_a_corrupt_file_is_refused(content, tmp_path, capfd) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.onnx cannot be read as an ONNX file .*Export or download it again"):
        load_detector(str(path), None, 3, "auto")
    assert "tensorflow" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "irbis detect --detector FILE"),
        ("none.onnx", "there is no such file"),
        ("weights.pt", r"an ONNX file \(\.onnx\) or an OpenVINO model"),
        ("alone.xml", r"its weights, alone\.bin, are not beside it"),
        ("folder.onnx", "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_a_detector_is_refused_before_it_is_read(name, message, tmp_path, monkeypatch) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    (tmp_path / "alone.xml").write_bytes(b"<net/>")
    (tmp_path / "folder.onnx").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=message):
        require_detector_file(name)


def test_what_does_not_fit_the_settings_is_said(tmp_path) -> None:
    fixed, free = save(bright_yolo(), tmp_path, "fixed"), save(bright_yolo(dynamic=True), tmp_path, "free")
    with pytest.raises(SettingsError, match=r"detect\.input_size = 96, but fixed\.xml takes 64 x 64 pixels"):
        load_detector(fixed, 96, 3, "auto")
    with pytest.raises(SettingsError, match=r"Set detect\.input_size, such as 640"):
        load_detector(free, None, 3, "auto")
    with pytest.raises(DataError, match=r"does not take images of 96 x 96 pixels|cannot run the detector"):
        load_detector(free, 96, 3, "auto")
    with pytest.raises(DataError, match=r"shapes \(1, 7, 4\)\. With 80 classes"):
        load_detector(fixed, None, 80, "auto")
    with pytest.raises(DataError, match="is not finite"):
        load_detector(save(constant_output(np.full((1, 7, 4), np.nan)), tmp_path, "nan"), None, 3, "auto")


def test_the_digest_is_that_of_the_weights_too_and_an_engine_is_built_once(tmp_path) -> None:
    path = Path(save(bright_yolo(), tmp_path))
    detector = load_detector(str(path), None, 3, "auto")
    weights = path.with_suffix(".bin")
    assert weights_beside(path) == [weights]
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert load_detector(str(path), None, 3, "auto").sha256 != detector.sha256
    fetched: list[int] = []
    engines = [engine_of(detector, lambda: fetched.append(1) or detector, 1) for _ in range(3)]
    assert engines[0] is engines[2] and fetched == [1]
