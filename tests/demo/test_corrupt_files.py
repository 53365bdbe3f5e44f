from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from pipelines.demo.corrupt_files import CorruptFile, corrupt_files, decompression_bomb
from pipelines.demo.schedule import plan_frames
from pipelines.schemas import Failure


@pytest.fixture(scope="module")
def odd() -> list[CorruptFile]:
    return corrupt_files(plan_frames(60, 3))


def content_of(odd: list[CorruptFile], failure: Failure) -> bytes:
    (found,) = [thing for thing in odd if thing.failure is failure]
    return found.make()


def test_the_empty_file_has_no_bytes_and_the_error_page_is_html(odd: list[CorruptFile]) -> None:
    assert content_of(odd, Failure.EMPTY) == b""
    assert content_of(odd, Failure.NOT_AN_IMAGE).startswith(b"<!DOCTYPE html>")


def test_the_cut_image_opens_but_does_not_decode(odd: list[CorruptFile]) -> None:
    image = Image.open(io.BytesIO(content_of(odd, Failure.TRUNCATED)))
    assert image.size == (640, 480)
    with pytest.raises(OSError, match="truncated"):
        image.load()


def test_the_scratched_image_starts_as_a_jpeg_and_does_not_open(odd: list[CorruptFile]) -> None:
    content = content_of(odd, Failure.UNREADABLE)
    assert content[:3] == b"\xff\xd8\xff"
    with pytest.raises(OSError):
        Image.open(io.BytesIO(content)).load()


def test_the_bomb_is_small_and_claims_400_megapixels(odd: list[CorruptFile]) -> None:
    content = content_of(odd, Failure.TOO_LARGE)
    assert len(content) < 100_000
    assert struct.unpack(">II", content[16:24]) == (20_000, 20_000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))


def test_a_small_bomb_is_a_valid_black_png() -> None:
    image = Image.open(io.BytesIO(decompression_bomb(501)))
    assert (image.size, image.mode, image.getextrema()) == ((501, 501), "1", (0, 0))


def test_the_misnamed_png_reads_and_knows_its_time(odd: list[CorruptFile]) -> None:
    (found,) = [thing for thing in odd if thing.path.endswith("IMG_9006.JPG")]
    image = Image.open(io.BytesIO(found.make()))
    assert (image.format, image.size, found.failure) == ("PNG", (640, 480), None)
    assert image.getexif().get_ifd(0x8769)[0x9003].startswith("2024:")
