"""Fifty files that broke other readers, each with its expected outcome."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ImageError
from pipelines.images.decode import decode
from pipelines.images.header import read_header
from tests.images.outcome import outcome, pillows

MAX_PIXELS, MAX_BYTES = 100_000_000, 256 * 2**20

# Upright size, or the failure; IN_PIXELS if the header is valid and only decoding fails.
IN_HEADER = {
    "animl__zero_bytes_error_img.JPG": "empty",
    "made__bomb_30000x30000.png": "too_large",
    "made__bomb_warning_12000x9000.png": "too_large",
    "made__html_named.jpg": "not_an_image",
    "made__text_named.jpeg": "not_an_image",
    "pillow__broken.png": "unreadable",
    "pillow__decompression_bomb.gif": "too_large",
    "pngsuite__xs1n0g01.png": "not_an_image",
    "skimage__truncated.jpg": "truncated",
}
IN_PIXELS = {
    "made__progressive_cut_half.jpg": "truncated",
    "pillow__truncated_image.png": "truncated",
    "pillow__truncated_jpeg.jpg": "truncated",
    "speciesnet__african_elephants_truncated_file.jpg": "truncated",
}
READABLE = {
    "exif__Landscape_3.jpg": (1800, 1200),
    "exif__Portrait_6.jpg": (1200, 1800),
    "exif__invalid_image01137.jpg": (88, 64),
    "ljt__testimgari.jpg": (227, 149),
    "made__1x1.png": (1, 1),
    "made__jpeg_named.png": (128, 128),
    "made__png_named.jpg": (128, 128),
    "made__progressive.jpg": (335, 500),
    "made__trailing_garbage.jpg": (335, 500),
    "pillow__16bit.cropped.tif": (64, 64),
    "pillow__badrle.bmp": (127, 64),
    "pillow__decompression_bomb_extents.gif": (100, 100),
    "pillow__dispose_bgnd.gif": (100, 100),
    "pillow__exif_imagemagick_orientation.png": (512, 512),
    "pillow__exif_typeerror.jpg": (800, 531),
    "pillow__hopper.bmp": (128, 128),
    "pillow__hopper.ico": (16, 16),
    "pillow__hopper_16bit.pgm": (128, 128),
    "pillow__hopper_bad_exif.jpg": (500, 500),
    "pillow__hopper_float_dpi_None.tif": (128, 128),
    "pillow__hopper_gray.jpg": (128, 128),
    "pillow__hopper_lzw.tif": (128, 128),
    "pillow__hopper_orientation_6.jpg": (128, 128),
    "pillow__hopper_orientation_6.webp": (128, 128),
    "pillow__invalid-exif.jpg": (200, 200),
    "pillow__palette_wedge.png": (128, 128),
    "pillow__sugarshack_bad_mpo_header.jpg": (640, 480),
    "pillow__tiff_strip_cmyk_jpeg.tif": (100, 100),
    "pillow__truncated_app14.jpg": (100, 100),
    "pngsuite__s01n3p01.png": (1, 1),
    "pngsuite__tbbn3p08.png": (32, 32),
    "pngsuite__xcsn0g01.png": (32, 32),
    "skimage__checker_bilevel.png": (10, 10),
    "skimage__chessboard_GRAY_U16B.tif": (200, 200),
    "speciesnet__african_elephants_bw.jpg": (2048, 1536),
    "speciesnet__african_elephants_cmyk.jpg": (2048, 1536),
    "speciesnet__african_elephants_with_exif_orientation.jpg": (2048, 1536),
}
# Mean of red, green and blue, and the brightest value, where a careless reader gets white, black or blue.
TONES = {
    "pillow__16bit.cropped.tif": ((95.7, 95.7, 95.7), 173),  # 291..694 of 16 bits: taken as 10 bits
    "pillow__hopper_16bit.pgm": ((84.2, 84.2, 84.2), 255),
    "skimage__chessboard_GRAY_U16B.tif": ((127.5, 127.5, 127.5), 255),
    "pillow__tiff_strip_cmyk_jpeg.tif": ((30.2, 5.4, 7.4), 255),
    "speciesnet__african_elephants_cmyk.jpg": ((201.1, 182.9, 187.9), 255),
    "speciesnet__african_elephants_with_exif_orientation.jpg": ((200.8, 182.9, 187.4), 255),
    "pillow__dispose_bgnd.gif": ((72.5, 169.1, 246.9), 255),
    "pillow__decompression_bomb_extents.gif": ((255.0, 0.0, 0.0), 255),
    "pngsuite__s01n3p01.png": ((0.0, 0.0, 255.0), 255),
    "pngsuite__xcsn0g01.png": ((124.5, 124.5, 124.5), 255),
}
# The same image as pillow__hopper.bmp, stored lying on its side.
TURNED = ("pillow__hopper_orientation_6.jpg", "pillow__hopper_orientation_6.webp")


@pytest.fixture(scope="module")
def awkward(shared_data: Path) -> Path:
    return shared_data / "awkward"


def header_of(content: bytes) -> tuple[int, int] | str:
    try:
        header = read_header(content, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
    except ImageError as error:
        return error.failure
    return (header.width, header.height)


def decoded(content: bytes) -> tuple[int, int] | str:
    try:
        image = decode(content, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
    except ImageError as error:
        return error.failure
    assert image.mode == "RGB"
    return image.size


def test_every_awkward_file_has_an_expectation(awkward: Path) -> None:
    listed = {row["file"] for row in csv.DictReader((awkward / "MANIFEST.csv").open())}
    assert listed == {*IN_HEADER, *IN_PIXELS, *READABLE}
    assert len(listed) == 50


@pytest.mark.parametrize("name", IN_HEADER)
def test_header_and_decoder_agree_on_a_failure_that_the_header_shows(awkward: Path, name: str) -> None:
    content = (awkward / name).read_bytes()
    assert header_of(content) == IN_HEADER[name]
    assert decoded(content) == IN_HEADER[name]


@pytest.mark.parametrize("name", IN_PIXELS)
def test_decoder_finds_what_a_sound_header_hides(awkward: Path, name: str) -> None:
    content = (awkward / name).read_bytes()
    assert isinstance(header_of(content), tuple)
    assert decoded(content) == IN_PIXELS[name]


@pytest.mark.parametrize("name", READABLE)
def test_header_and_decoder_agree_on_the_upright_size(awkward: Path, name: str) -> None:
    content = (awkward / name).read_bytes()
    assert header_of(content) == READABLE[name]
    assert decoded(content) == READABLE[name]


@pytest.mark.parametrize("name", [*IN_PIXELS, *READABLE])
def test_pillow_alone_comes_to_the_same(awkward: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (awkward / name).read_bytes()
    assert np.array_equal(outcome(content), pillows(content, monkeypatch))


@pytest.mark.parametrize("name", TONES)
def test_tones_are_those_of_the_image(awkward: Path, name: str) -> None:
    pixels = np.asarray(decode((awkward / name).read_bytes(), max_pixels=MAX_PIXELS))
    mean, brightest = TONES[name]
    assert pixels.mean((0, 1)) == pytest.approx(mean, abs=0.6)
    assert pixels.max() == brightest


@pytest.mark.parametrize("name", TURNED)
def test_turned_images_equal_the_upright_one(awkward: Path, name: str) -> None:
    upright = np.asarray(decode((awkward / "pillow__hopper.bmp").read_bytes(), max_pixels=MAX_PIXELS), float)
    turned = np.asarray(decode((awkward / name).read_bytes(), max_pixels=MAX_PIXELS), float)
    assert np.abs(upright - turned).mean() < 6
    assert np.abs(upright - np.rot90(turned)).mean() > 40


def test_large_bilevel_image_is_read_when_the_limit_allows_it(awkward: Path) -> None:
    content = (awkward / "made__bomb_warning_12000x9000.png").read_bytes()
    assert decode(content, max_pixels=200_000_000).size == (12000, 9000)


def test_capture_times_survive_odd_exif(awkward: Path) -> None:
    moments = {
        "pillow__exif_typeerror.jpg": "None",  # its DateTime is when Photoshop saved it, five weeks later
        "pillow__sugarshack_bad_mpo_header.jpg": "2014-03-02 14:17:39",
        "speciesnet__african_elephants_truncated_file.jpg": "2010-08-04 08:43:15",
    }
    for name, moment in moments.items():
        header = read_header((awkward / name).read_bytes(), max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
        assert str(header.captured_at) == moment
