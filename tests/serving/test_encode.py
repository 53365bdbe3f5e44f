"""`encode`: what a client sends has the pixels that the model would have seen, and nothing else."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.serving.encode import encode


def photo(width: int, height: int) -> Image.Image:
    """Return an image with a slow gradient and a sharp corner, which shows how it is turned."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=2).astype(np.uint8)
    pixels[: height // 4, : width // 4] = (250, 250, 250)
    return Image.fromarray(pixels)


def to_bytes(image: Image.Image, format_: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[1] = "S"  # a hemisphere: part of coordinates
    return exif


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((4000, 3000), 448, (597, 448)), ((300, 900), 200, (200, 600)), ((300, 200), 448, (300, 200))],
)
def test_the_shorter_side_is_reduced_and_never_enlarged(size, side, expected):
    assert opened(encode(to_bytes(photo(*size)), side=side)).size == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_is_upright_and_has_no_metadata(orientation):
    content = to_bytes(photo(600, 400), exif=with_orientation(orientation), comment=b"name of the finder", quality=95)
    result = opened(encode(content, side=300))
    upright = decode(content, max_pixels=10**6).resize(result.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(result, int) - np.asarray(upright, int)).mean() < 2
    assert not result.getexif() and "comment" not in result.info and "exif" not in result.info


def test_a_small_upright_jpeg_keeps_its_pixels_but_not_its_metadata():
    content = to_bytes(photo(300, 200), exif=with_orientation(1), quality=50, comment=b"name of the finder")
    sent = base64.b64decode(encode(content))
    assert len(sent) < len(content) and b"finder" not in sent and not Image.open(io.BytesIO(sent)).getexif()
    assert decode(sent, max_pixels=10**6).tobytes() == decode(content, max_pixels=10**6).tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_what_the_model_sees(mode):
    image = photo(320, 240).convert("I" if mode == "I;16" else mode, dither=Image.Dither.NONE).convert(mode)
    content = to_bytes(image, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    seen, sent = decode(content, max_pixels=10**6), decode(base64.b64decode(encode(content)), max_pixels=10**6)
    assert np.abs(np.asarray(seen, int) - np.asarray(sent, int)).mean() < 2


def test_a_strip_that_no_jpeg_can_hold_is_a_png():
    result = opened(encode(to_bytes(Image.new("RGB", (70_000, 3)), "PNG")))
    assert (result.format, result.size) == ("PNG", (70_000, 3))


def test_a_path_a_text_and_bytes_give_the_same(tmp_path: Path):
    file = tmp_path / "fox é.jpg"
    file.write_bytes(content := to_bytes(photo(900, 600)))
    assert encode(file) == encode(str(file)) == encode(content)


def test_what_is_no_image_is_refused_before_it_is_sent(tmp_path: Path):
    with pytest.raises(ImageError, match="not_an_image"):
        encode(b"<html>")
    with pytest.raises(ImageError, match="truncated"):
        encode(to_bytes(photo(900, 600))[:2000])
    with pytest.raises(FileNotFoundError):
        encode(tmp_path / "none.jpg")


@pytest.mark.parametrize("resize_mode", ["squash", "crop", "pad"])
def test_the_input_of_a_network_hardly_changes(shared_data: Path, resize_mode: str):
    """On real images: two values of 255 on average, as after any compression."""
    preprocessing = Preprocessing(size=224, resize_mode=resize_mode)  # type: ignore[arg-type]
    files = sorted((shared_data / "cameratrap_peru_sdzg").rglob("*.JPG"))[::10]
    assert len(files) >= 10
    for file in files:
        content = file.read_bytes()
        seen, sent = (
            preprocessing.apply(decode(each, max_pixels=10**8, min_side=preprocessing.min_decode_side)).astype(int)
            for each in (content, base64.b64decode(encode(file)))
        )
        assert np.abs(seen - sent).mean() < 2


@pytest.mark.process
def test_encode_imports_no_spark_no_mlflow_and_no_engine():
    program = "import sys, pipelines.serving.encode; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"pyspark", "mlflow", "openvino", "torch", "pandas", "pydantic"} & set(eval(modules))
