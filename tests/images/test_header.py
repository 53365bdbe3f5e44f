from __future__ import annotations

import io
import struct
import zlib
from datetime import datetime
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.images.header import Header, read_header

SIZE = (6, 4)


def encoded(format_: str = "JPEG", exif: bytes = b"", size: tuple[int, int] = SIZE, **options: Any) -> bytes:
    file = io.BytesIO()
    options.update({"exif": exif} if exif else {})
    Image.new("RGB", size, (200, 60, 20)).save(file, format_, **options)
    return file.getvalue()


def exif_block(main: dict[int, object], inner: dict[int, object] | None = None) -> bytes:
    """Build little-endian EXIF by hand, since Pillow refuses to write some tags as cameras do."""

    def directory(tags: dict[int, object], at: int) -> bytes:
        entries, rest = b"", b""
        first_free = at + 2 + 12 * len(tags) + 4
        for tag, value in sorted(tags.items()):
            if isinstance(value, int):
                entries += struct.pack("<HHII", tag, 4, 1, value)
                continue
            text = value if isinstance(value, bytes) else str(value).encode() + b"\0"
            place = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", first_free + len(rest))
            rest += text if len(text) > 4 else b""
            entries += struct.pack("<HHI", tag, 2, len(text)) + place
        return struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + rest

    if inner:
        pointer = 8 + len(directory({**main, 0x8769: 0}, 8))
        main = {**main, 0x8769: pointer}
        return b"Exif\0\0II*\0\x08\0\0\0" + directory(main, 8) + directory(inner, pointer)
    return b"Exif\0\0II*\0\x08\0\0\0" + directory(main, 8)


def header(content: bytes, max_pixels: int = 10_000, max_bytes: int = 1_000_000) -> Header:
    return read_header(content, max_pixels=max_pixels, max_bytes=max_bytes)


def failure(content: bytes | None, **limits: int) -> str:
    with pytest.raises(ImageError) as caught:
        header(content, **limits)  # type: ignore[arg-type]
    return caught.value.failure


def test_header_tells_size_moment_camera_and_format() -> None:
    block = exif_block({0x0112: 6}, {0x9003: "2014:07:01 05:06:07", 0x9291: "25", 0xA431: "H600HE09"})
    moment = datetime(2014, 7, 1, 5, 6, 7, 250_000)
    assert header(encoded(exif=block)) == Header(4, 6, moment, "H600HE09", "JPEG")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_image(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = header(encoded(format_, exif.tobytes()))
    assert (found.width, found.height) == (SIZE if orientation < 5 else SIZE[::-1])
    assert found.format == format_


def test_orientation_after_the_pixels_of_a_png_counts() -> None:
    plain = encoded("PNG")
    data = exif_block({0x0112: 8})[6:]
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    found = header(plain[:-12] + chunk + plain[-12:])
    assert (found.width, found.height) == SIZE[::-1]


def test_png_whose_metadata_has_a_wrong_checksum_is_read() -> None:
    content = bytearray(encoded("PNG", exif_block({0x0112: 6})[6:]))
    content[content.index(b"eXIf") + 4 + 30] ^= 0x40
    assert header(bytes(content)).format == "PNG"


def test_no_bytes_are_empty() -> None:
    assert failure(b"") == "empty"
    assert failure(None) == "empty"


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        b"\n\n<!DOCTYPE html><html></html>",
        b'{"error": "not found"}',
        b"BMW is a car maker, this is no bitmap",
        b"P5 is a Perl version",
        b"PK\x03\x04" + bytes(40),
        b"\0" * 4096,
        b" ",
    ],
)
def test_what_has_no_known_signature_is_not_an_image(content: bytes) -> None:
    assert failure(content) == "not_an_image"


def test_a_git_lfs_pointer_is_named() -> None:
    with pytest.raises(ImageError, match="git lfs pull"):
        header(b"version https://git-lfs.github.com/spec/v1\n")


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50),
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(50),
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50),
        b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(50),
        b"RIFF\x40\0\0\0AVI LIST" + bytes(50),
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(50),
        b"FUJIFILMCCD-RAW 0201" + bytes(50),
        b"%PDF-1.7\n",
        b"8BPS\0\x01" + bytes(50),
        b'<?xml version="1.0"?>\n<svg xmlns="x"/>',
    ],
)
def test_known_formats_without_a_decoder_are_unsupported(content: bytes) -> None:
    assert failure(content) == "unsupported_format"


def test_preview_in_a_raw_file_does_not_pass_for_the_image() -> None:
    def tiff(**extra: int) -> bytes:
        return encoded("TIFF", tiffinfo={int(tag[1:], 16): value for tag, value in extra.items()})

    assert header(tiff()).width == 6
    assert header(tiff(x00FE=1)).width == 6  # a lone page that calls itself reduced
    assert failure(tiff(x00FE=1, x014A=8)) == "unsupported_format"
    assert failure(tiff(xC612=1)) == "unsupported_format"


def test_tiff_of_an_unknown_compression_is_unsupported() -> None:
    content = encoded("TIFF")
    at = content.index(b"\x03\x01\x03\0\x01\0\0\0") + 8
    assert failure(content[:at] + b"\xff\xff" + content[at + 2 :]) == "unsupported_format"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000"])
def test_a_header_that_ends_early_is_truncated(format_: str) -> None:
    content = encoded(format_)
    assert failure(content[: 6 if format_ == "PPM" else 12]) == "truncated"


def test_a_right_signature_before_garbage_is_unreadable() -> None:
    assert failure(b"\xff\xd8\xff\xdb\0\x0a" + b"nonsense" * 40 + b"\xff\xda\xff\xd9") == "unreadable"
    png = bytearray(encoded("PNG"))
    png[16:20] = bytes(4)  # a width of 0
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    assert failure(bytes(png)) == "unreadable"


def test_limits_hold_to_the_pixel_and_to_the_byte() -> None:
    content = encoded()
    assert header(content, max_pixels=24, max_bytes=len(content)).width == 6
    assert failure(content, max_pixels=23) == "too_large"
    assert failure(content, max_bytes=len(content) - 1) == "too_large"


def test_limit_on_pixels_ignores_the_one_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert header(encoded()).width == 6
    assert Image.MAX_IMAGE_PIXELS == 10


def test_details_are_the_same_in_every_run() -> None:
    details = set()
    for _ in range(3):
        with pytest.raises(ImageError) as caught:
            header(encoded("WEBP")[:40])
        details.add(caught.value.detail)
    assert len(details) == 1
    assert "0x" not in details.pop()
