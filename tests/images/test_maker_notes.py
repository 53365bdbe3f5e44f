"""Maker notes of Reconyx cameras, built as their manufacturers document them."""

from __future__ import annotations

import struct
from datetime import datetime

import pytest

from pipelines.images.header import read_header
from pipelines.images.maker_notes import read_captured_at, read_serial_number

from .test_exif import encoded, exif_block

SERIAL = "H500HF12161234"
WIDE = SERIAL.encode("utf-16-le").ljust(30, b"\0")
NARROW = SERIAL.encode().ljust(15, b"\0")
TIME = datetime(2015, 6, 29, 23, 58, 7)


def block(start: bytes, *parts: tuple[int, bytes]) -> bytes:
    note = bytearray(start.ljust(256, b"\0"))
    for at, data in parts:
        note[at : at + len(data)] = data
    return bytes(note)


def words(*numbers: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(numbers)}H", *numbers)


MONTH_FIRST, DAY_FIRST = words(7, 58, 23, 6, 29, 2015), words(7, 58, 23, 29, 6, 2015)
BYTES = bytes([7, 58, 23, 29, 6]) + words(2015)
NOTES = {
    "HyperFire": block(b"\x01\xf1\x03\0", (0x16, MONTH_FIRST), (0x2A, WIDE)),
    "HyperFire, time big-endian": block(
        b"\x01\xf1\x02\0", (0x16, words(7, 58, 23, 6, 29, 2015, order=">")), (0x2A, WIDE)
    ),
    "UltraFire": block(b"RECONYXUF\0", (0x3B, BYTES), (0x4B, NARROW)),
    "HyperFire 2": block(b"RECONYXH2\0", (0x3E, DAY_FIRST), (0x4A, words(1)), (0x7E, WIDE)),
    "MicroFire": block(b"RECONYXMF\0", (0x4E, MONTH_FIRST), (0x8C, WIDE)),
    "HyperFire 4K": block(b"RECONYXHF4K\0", (0x2F, BYTES), (0x84, NARROW)),
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_time_and_serial_number_are_read(note):
    assert (read_captured_at(note, ""), read_serial_number(note, "")) == (TIME, SERIAL)


def test_of_hyperfire_2_the_weekday_says_which_number_is_the_month():
    tuesday, thursday, friday = words(2), words(4), words(5)  # 5 March is a Tuesday, 3 May a Friday
    five_three = words(0, 0, 12, 5, 3, 2024)
    start = b"RECONYXH2\0"
    assert read_captured_at(block(start, (0x3E, five_three), (0x4A, tuesday)), "") == datetime(2024, 3, 5, 12)
    assert read_captured_at(block(start, (0x3E, five_three), (0x4A, friday)), "") == datetime(2024, 5, 3, 12)
    assert read_captured_at(block(start, (0x3E, five_three), (0x4A, thursday)), "") == datetime(2024, 3, 5, 12)


def test_other_firmware_of_hyperfire_is_known_by_the_make_alone():
    note = block(b"\x01\xf1\x09\0", (0x16, MONTH_FIRST), (0x2A, WIDE))
    assert (read_captured_at(note, "Reconyx"), read_serial_number(note, "RECONYX")) == (TIME, SERIAL)
    assert (read_captured_at(note, "Bushnell"), read_serial_number(note, "")) == (None, "")


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_a_truncated_note_is_no_failure(note):
    for length in range(len(note)):
        assert read_captured_at(note[:length], "RECONYX") in (None, TIME)
        assert SERIAL.startswith(read_serial_number(note[:length], "RECONYX"))
    broken = note[:16] + b"\xff" * 240
    assert (read_captured_at(broken, ""), read_serial_number(broken, "")) == (None, "")


def test_a_header_falls_back_to_the_maker_note():
    note = NOTES["HyperFire"]

    def header(tags):
        content = encoded(exif=exif_block({0x010F: "RECONYX"}, {0x927C: note, **tags}))
        return read_header(content, max_pixels=10_000, max_bytes=1_000_000)

    bare = header({})
    assert (bare.captured_at, bare.camera) == (TIME, SERIAL)
    zeros = header({0xA431: "0000000", 0x9003: "0000:00:00 00:00:00"})
    assert (zeros.captured_at, zeros.camera) == (TIME, SERIAL)
    standard = header({0xA431: "SN1", 0x9003: "2020:01:02 03:04:05"})
    assert (standard.captured_at, standard.camera) == (datetime(2020, 1, 2, 3, 4, 5), "SN1")
