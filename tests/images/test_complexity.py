"""Files that would cost a decoder much time or memory are rejected before decoding; ordinary ones pass."""

from __future__ import annotations

import time
import timeit

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.images.complexity import check_decoding_cost, check_structure
from pipelines.images.decode import decode
from pipelines.images.header import read_header
from pipelines.images.thumbnails import make_thumbnail
from tests.images import crafted
from tests.images.crafted import HOSTILE, encoded, grey

MAX_PIXELS, MAX_BYTES = 100_000_000, 256 * 2**20
Image.init()

# What is refused, and why; what is not here, today's decoders read in a moment.
REFUSED = {
    "JPEG, 2,000 scans": "more than 100 scans of 4,000,000 pixels",
    "JPEG, 60 scans of 64 megapixels": "more than 31 scans of 64,000,000 pixels",
    "JPEG, 4 million empty segments": "more than 1,000 segments before the pixels",
    "JPEG, 2,000 blocks of EXIF": "more than 1,000 segments before the pixels",
    "JPEG, 2,500 EXIF entries that share a value": "more than 1,000 entries of a directory of tags",
    "PNG, a million chunks": "more than 100,000 chunks",
    "PNG, a million chunks behind the pixels": "more than 100,000 chunks",
    "TIFF, a million strips": "more than 50,000 strips or tiles",
    "TIFF, a tile of 400 megapixels": "tiles of 20000 x 20000 pixels; the limit is 100,000,000",
    "TIFF, 1,000 entries that share a value": "more than 1,000 entries of a directory of tags",
    "TIFF, 60,000 entries": "more than 1,000 entries of a directory of tags",
    "GIF, a comment of 4 million blocks": "more than 10,000 blocks of data before the pixels",
    "GIF, a comment of 50 MB": "more than 10,000 blocks of data before the pixels",
    "GIF, a million extensions": "more than 10,000 blocks of data before the pixels",
    "BMP, 10 million runs of one pixel": "10,240,000 pixels, too slow as bmp_rle; the limit is 5,000,000",
    "PPM, 9 megapixels as text": "9,000,000 pixels, too slow as ppm_plain; the limit is 5,000,000",
    "icon, a PNG of a million chunks": "more than 390 chunks of an image in an icon",
    "icon, 65,535 entries": "more than 256 images in an icon",
    "WebP, 3 million chunks": "more than 100,000 chunks",
    "JPEG 2000, 100 megapixels": "100,000,000 pixels, too slow as JPEG2000; the limit is 25,000,000",
    "JPEG 2000, 62,500 tiles": "more than 4,096 tiles",
    "JPEG 2000, precincts of one pixel": "more than 500,000 precincts and code blocks",
    "JPEG 2000, blocks of 16 pixels": "more than 500,000 precincts and code blocks",
    "JPEG 2000, 3 million boxes": "more than 10,000 boxes",
    "JPEG 2000, 3 million boxes in its header": "more than 10,000 boxes in its header",
}
TOO_LARGE = ["GIF, a frame of 169 megapixels", "icon, a bitmap of 169 megapixels", "WebP, a canvas of 268 megapixels"]


def failure(content: bytes, read=read_header) -> tuple[str, str]:
    limits = (
        {"max_pixels": MAX_PIXELS} if read is make_thumbnail else {"max_pixels": MAX_PIXELS, "max_bytes": MAX_BYTES}
    )
    with pytest.raises(ImageError) as caught:
        read(content, **limits)
    return caught.value.failure, caught.value.detail


@pytest.mark.parametrize("name", [*REFUSED, *TOO_LARGE])
def test_files_that_cost_much_are_refused_from_their_bytes_alone(name):
    content = HOSTILE[name]()
    assert failure(content)[0] == ("too_large" if name in TOO_LARGE else "too_complex")
    assert name in TOO_LARGE or failure(content)[1] == REFUSED[name]
    assert failure(content, decode) == failure(content, make_thumbnail) == failure(content)


@pytest.mark.parametrize(
    "name", ["PNG, 100 texts of 1 MB, compressed", "TIFF, 100,000 directories", "WebP, 3,000 frames"]
)
def test_similar_cheap_files_are_read(name):
    assert decode(HOSTILE[name](), max_pixels=MAX_PIXELS).size in {(16, 16), (10, 10)}


@pytest.mark.parametrize("name", ["JPEG, 2,000 scans", "TIFF, a million strips", "JPEG 2000, precincts of one pixel"])
def test_refusing_costs_milliseconds(name):
    content = HOSTILE[name]()
    used = timeit.repeat(lambda: failure(content, decode), timer=time.process_time, number=1, repeat=5)
    assert min(used) < 0.1


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 255, (height, width, 3), np.uint8))


def test_checking_a_jpeg_of_12_megapixels_is_cheap_beside_decoding_it():
    content = encoded(photo(4000, 3000), "JPEG", quality=80)
    start = timeit.default_timer()
    decode(content, max_pixels=MAX_PIXELS)
    decoding = timeit.default_timer() - start

    def look():
        check_structure("JPEG", content, MAX_PIXELS)
        check_decoding_cost("JPEG", "jpeg", content, 12_000_000, MAX_PIXELS)

    assert min(timeit.repeat(look, number=1, repeat=5)) < decoding / 100


def test_scans_of_one_colour_each_are_counted_where_the_jpeg_is_not_progressive():
    frame, *scans = crafted.separate_scans(64)
    assert decode(frame + b"".join(scans) + b"\xff\xd9", max_pixels=MAX_PIXELS).size == (64, 64)
    content = frame + b"".join(scans) * 34 + b"\xff\xd9"
    assert failure(content, decode) == ("too_complex", "more than 100 scans of 4,096 pixels")


def test_a_pair_of_bytes_in_metadata_or_a_second_image_is_no_scan():
    whole = encoded(grey(64), "JPEG", progressive=True)
    noted = whole[:2] + b"\xff\xfe" + (202).to_bytes(2, "big") + b"\xff\xda" * 100 + whole[2:]
    assert decode(noted + whole * 20, max_pixels=MAX_PIXELS).size == (64, 64)


def test_scans_are_counted_behind_garbage_and_behind_an_end_inside_of_a_segment():
    whole = encoded(grey(64), "JPEG", progressive=True)
    start = whole.rfind(b"\xff\xda")
    scan = b"\0\xff\0" + whole[start:-2] + b"\xff\xfe\0\4\xff\xd9"
    content = whole[:start] + scan * 101 + b"\xff\xd9"
    assert failure(content, decode) == ("too_complex", "more than 100 scans of 4,096 pixels")


def test_as_many_scans_as_encoders_write_are_read():
    whole = encoded(grey(64), "JPEG", progressive=True)
    start = whole.rfind(b"\xff\xda")
    scans = whole.count(b"\xff\xda")
    content = whole[:start] + whole[start:-2] * (101 - scans) + b"\xff\xd9"
    assert decode(content, max_pixels=MAX_PIXELS).size == (64, 64)


def test_values_that_share_bytes_are_refused_in_any_directory_of_tags():
    large = crafted.tiff_values(900, 1_000_000)
    assert failure(large)[1] == f"the values of its tags take 900,000,036 bytes, but all of them have {len(large):,}"
    assert failure(crafted.jpeg_exif(900, 50_000))[1].startswith("the values of its tags take 45,000,000 bytes")
    assert decode(crafted.tiff_values(900, 8), max_pixels=MAX_PIXELS).size == (10, 10)


def test_tags_are_found_behind_a_million_prefixes():
    content = encoded(grey(16), "PNG", exif=b"Exif\0\0" * 1_000_000 + b"II*\0\x08\0\0\0" + bytes(16))
    assert min(timeit.repeat(lambda: read_header(content, max_pixels=256, max_bytes=MAX_BYTES), number=1)) < 2


def test_jpeg_2000_of_ordinary_tiles_is_read_and_a_part_of_one_tile_counts_too():
    small = encoded(photo(512, 512), "JPEG2000", tile_size=(64, 64), codeblock_size=(32, 32), precinct_size=(64, 64))
    assert decode(small, max_pixels=MAX_PIXELS).size == (512, 512)
    plain = crafted.jpeg2000(2_000)
    style = plain[plain.index(b"\xff\x52") : plain.index(b"\xff\x5c")]
    dense = crafted.jpeg2000(2_000, precinct=1)
    dense = dense[dense.index(b"\xff\x52") : dense.index(b"\xff\x5c")]
    tile = plain.index(b"\xff\x90")
    assert len(style) == len(dense)
    hidden = plain[: tile + 6] + (14 + len(dense)).to_bytes(4, "big") + plain[tile + 10 : tile + 12] + dense
    hidden += plain[tile + 12 :]
    assert failure(hidden) == ("too_complex", "more than 500,000 precincts and code blocks")


@pytest.mark.parametrize("max_pixels, size", [(100_000_000, 5_100), (200_000_000, 7_200)])
def test_the_lower_limit_of_jpeg_2000_grows_with_the_limit_on_pixels(max_pixels, size):
    with pytest.raises(ImageError) as caught:
        read_header(crafted.jpeg2000(size), max_pixels=max_pixels, max_bytes=MAX_BYTES)
    assert caught.value.failure == "too_complex"
    assert read_header(crafted.jpeg2000(size - 200), max_pixels=max_pixels, max_bytes=MAX_BYTES).width == size - 200
