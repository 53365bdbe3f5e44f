"""Several views of an image from one decoding."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.backbones import Embedding, load_backbone
from pipelines.backbones import views as views_module
from pipelines.backbones.views import CroppedImage, ViewReader
from pipelines.images.crop import Box

LEFT, CORNER = Box(0.0, 0.0, 0.5, 1.0), Box(0.75, 0.5, 0.25, 0.5)


def image(width: int = 64, height: int = 64) -> bytes:
    """Return a PNG whose left half is red, the right half blue, with a white corner at the lower right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0], pixels[:, width // 2 :, 2] = 255, 255
    pixels[height // 2 :, 3 * width // 4 :] = 255
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def test_whole_image_and_crops_come_from_one_decoding(monkeypatch) -> None:
    decoded, decode = [], views_module.decode

    def counting(content: bytes, **options: Any) -> Any:
        decoded.append(content)
        return decode(content, **options)

    monkeypatch.setattr(views_module, "decode", counting)
    backbone = load_backbone("raw_pixels")
    found = ViewReader(backbone)(CroppedImage(image(), [None, LEFT, CORNER]))
    assert isinstance(found, np.ndarray) and found.shape == (3, 32, 32, 3) and len(decoded) == 1
    np.testing.assert_array_equal(found[0], backbone.load_pixels(image()))
    assert np.unique(found[1].reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert found[2].min() == 255


def test_a_single_view_has_no_dimension_of_views() -> None:
    reader = pickle.loads(pickle.dumps(ViewReader(load_backbone("raw_pixels"))))
    assert reader(CroppedImage(image(), [CORNER])).shape == (32, 32, 3)


def test_the_info_bar_is_cut_from_the_whole_image_and_not_from_crops() -> None:
    reader = ViewReader(load_backbone("raw_pixels", crop_bottom=0.5))
    whole, crop = reader(CroppedImage(image(), [None, Box(0.75, 0.0, 0.25, 1.0)]))
    assert whole[:, :, 1].max() == 0  # without the white corner
    assert crop[-1].min() == 255


def test_an_image_that_cannot_be_decoded_is_a_failure_of_all_views() -> None:
    found = ViewReader(load_backbone("raw_pixels"))(CroppedImage(b"", [None, LEFT]))
    assert isinstance(found, Embedding) and found.failure == "empty"


@pytest.mark.parametrize("boxes", [[None, CORNER], [CORNER, None], [None]])
def test_with_precision_fast_a_view_does_not_depend_on_the_others(boxes) -> None:
    target = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(target, "JPEG")
    backbone = load_backbone("raw_pixels", precision="fast")
    found = ViewReader(backbone)(CroppedImage(target.getvalue(), boxes))
    alone = [ViewReader(backbone)(CroppedImage(target.getvalue(), [box])) for box in boxes]
    np.testing.assert_array_equal(np.reshape(found, (len(boxes), 32, 32, 3)), alone)
    np.testing.assert_array_equal(alone[boxes.index(None)], backbone.load_pixels(target.getvalue()))
