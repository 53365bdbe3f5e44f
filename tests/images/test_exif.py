from __future__ import annotations

import io
import struct
from datetime import datetime

import pytest
from PIL import Image

from pipelines.images.decode import decode
from pipelines.images.exif import parse_exif_datetime
from pipelines.images.header import Header, read_header
from pipelines.images.ifd import read_tags

SIZE = (6, 4)


def encoded(format_: str = "JPEG", exif: bytes | None = None, size: tuple[int, int] = SIZE) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 60, 20)).save(file, format_, **({"exif": exif} if exif else {}))
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


def test_thumbnail_in_exif_changes_nothing() -> None:
    block = exif_block({0x0112: 1})
    second = struct.pack("<H", 1) + struct.pack("<HHII", 0x0112, 4, 1, 6) + b"\0\0\0\0"
    linked = block[:-4] + struct.pack("<I", len(block) - 6) + second + encoded(size=(3, 2))
    found = header(encoded(exif=linked))
    assert (found.width, found.height) == SIZE


@pytest.mark.parametrize(
    ("tags", "moment"),
    [
        ({0x9003: "2014:07:01 05:06:07", 0x9004: "2000:01:01 00:00:00"}, "2014-07-01 05:06:07"),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "2014:07:01 05:06:07"}, "2014-07-01 05:06:07"),
        ({0x9003: "    :  :     :  :  ", 0x9004: ""}, "2001-02-03 04:05:06"),
        ({0x9003: "2014:07:01 05:06:07", 0x9291: "5 "}, "2014-07-01 05:06:07.500000"),
        ({0x9003: "2014:07:01 05:06:07", 0x9291: "x"}, "2014-07-01 05:06:07"),
        ({0x9003: b"2014:07:01 05:06:07\0junk"}, "2014-07-01 05:06:07"),
        ({0x9003: b"2014:07:01 05:06:07"}, "2014-07-01 05:06:07"),
        ({0x9003: b"\xff" * 20}, "2001-02-03 04:05:06"),
        ({0x9003: 20140701}, "2001-02-03 04:05:06"),
    ],
)
def test_moment_is_the_first_tag_that_holds_one(tags: dict[int, object], moment: str) -> None:
    block = exif_block({0x0132: "2001:02:03 04:05:06"}, tags)
    assert str(header(encoded(exif=block)).captured_at) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2014-07-01T05:06:07", "2014-07-01 05:06:07"),
        ("2014/07/01 05:06:07", "2014-07-01 05:06:07"),
        ("2014:07:01 05:06:07.123456789", "2014-07-01 05:06:07.123456"),
        ("2014:07:01 05:06:07+02:00", "2014-07-01 05:06:07"),
        ("2014:07:01 24:00:00", "None"),
        ("2014:07:01 02:00:00 PM", "None"),
        ("2014:02:30 05:06:07", "None"),
        ("2014:07:01", "None"),
        ("٢٠١٤:07:01 05:06:07", "None"),
        ("", "None"),
    ],
)
def test_moments_are_right_or_none(text: str, moment: str) -> None:
    assert str(parse_exif_datetime(text)) == moment


@pytest.mark.parametrize(
    ("serial", "camera"),
    [
        ("  P800 17 ", "P800 17"),
        (b"AB12\0\0\0\0old", "AB12"),
        (b"A\x01B\x7f2", "AB2"),
        (b"\0" * 40, None),
        ("0000000000", None),
        ("   ", None),
        (12345, "12345"),
        (0, None),
    ],
)
def test_camera_is_its_cleaned_serial_number(serial: object, camera: str | None) -> None:
    assert header(encoded(exif=exif_block({}, {0xA431: serial}))).camera == camera


def test_broken_exif_never_costs_the_image() -> None:
    block = exif_block({0x0112: 6, 0x0132: "2001:02:03 04:05:06"}, {0x9003: "2014:07:01 05:06:07"})
    for at in range(len(block)):
        for byte in (0x00, 0xFF):
            broken = block[:at] + bytes([byte]) + block[at + 1 :]
            found = header(encoded(exif=broken))
            assert {found.width, found.height} == {6, 4}
        found = header(encoded(exif=block[: at + 1]))
        assert {found.width, found.height} == {6, 4}


def test_exif_directory_of_a_tiff_may_be_broken() -> None:
    image = {
        0x0100: 6,
        0x0101: 4,
        0x0102: 8,
        0x0103: 1,
        0x0106: 1,
        0x0111: 0,
        0x0115: 1,
        0x0116: 4,
        0x0117: 24,
    }
    inner: dict[int, object] = {0x9003: "2014:07:01 05:06:07", 0xA431: "H600HE09"}
    length = len(exif_block({**image}, inner)) - 6
    content = exif_block({**image, 0x0111: length}, inner)[6:] + bytes(range(24))
    assert header(content).captured_at == datetime(2014, 7, 1, 5, 6, 7)
    start = read_tags(content)[0x8769]
    assert isinstance(start, int)
    for at in range(start, length):
        for byte in (0x00, 0x7F, 0xFF):
            broken = content[:at] + bytes([byte]) + content[at + 1 :]
            assert header(broken).width == 6
            assert decode(broken, max_pixels=24).getpixel((5, 3)) == (23, 23, 23)


@pytest.mark.parametrize(
    ("software", "moment"),
    [
        ("Adobe Photoshop Lightroom Classic 12.1", None),
        ("Picasa", None),
        ("GIMP 2.10.34", None),
        ("V1.03", "2024-07-01 10:00:00"),
        ("", "2024-07-01 10:00:00"),
    ],
)
def test_the_time_at_which_an_editor_saved_is_no_time_of_exposure(software: str, moment: str | None) -> None:
    main: dict[int, object] = {0x0131: software, 0x0132: "2024:07:01 10:00:00"}
    found = header(encoded(exif=exif_block(main))).captured_at
    assert (found and str(found)) == moment
    original = header(encoded(exif=exif_block(main, {0x9003: "2024:05:01 06:00:00"}))).captured_at
    assert str(original) == "2024-05-01 06:00:00"


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        ("Unknown", None),
        ("N/A", None),
        ("none", None),
        ("1234567890", None),
        ("12345678", None),
        ("11111111", None),
        ("XXXX-XXXX", None),
        ("0000", None),
        ("P900EH04123456", "P900EH04123456"),
        ("22", "22"),
    ],
)
def test_a_serial_number_that_all_cameras_of_a_make_share_is_none(serial: str, expected: str | None) -> None:
    assert header(encoded(exif=exif_block({}, {0xA431: serial}))).camera == expected
