"""The files that go wrong in every real set, each made on purpose."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from pipelines.demo.encode import encode_jpeg, encode_png
from pipelines.demo.render_frame import draw_frame
from pipelines.demo.schedule import BLANK, Frame
from pipelines.schemas import Failure

HTML = b"""<!DOCTYPE html>
<html><head><title>502 Bad Gateway</title></head>
<body><h1>502 Bad Gateway</h1><p>The server could not fetch IMG_9002.JPG.</p></body></html>
"""
BOMB_SIDE = 20_000  # pixels; 400 megapixels in some 50 kB


@dataclass(frozen=True)
class CorruptFile:
    """One extra file: where it goes, how it is made, its label, and how it fails (None: it can be read)."""

    path: str
    make: Callable[[], bytes]
    label: str | None
    failure: Failure | None
    copy_of: str | None = None


def corrupt_files(frames: list[Frame]) -> list[CorruptFile]:
    """Give the nine extra files of a set.

    Five cannot be used (empty, not_an_image, truncated, unreadable, too_large: one each); one is a
    PNG named .JPG and readable; two are copies of one image, with its label; one is a copy of
    another image under another label.
    """
    blank = _first(frames, BLANK)
    return [
        *_broken(blank),
        _misnamed(next(f for f in reversed(frames) if f.label == BLANK and f.is_labelled and f.number == 2)),
        *_copies(frames),
    ]


def _first(frames: list[Frame], label: str) -> Frame:
    return next(frame for frame in frames if frame.label == label and frame.is_labelled and frame.number == 0)


def _broken(frame: Frame) -> list[CorruptFile]:
    folder = frame.path.rsplit("/", 1)[0]

    def cut() -> bytes:
        content = encode_jpeg(draw_frame(frame), frame)
        return content[: int(len(content) * 0.55)]

    def scratched() -> bytes:
        content = encode_jpeg(draw_frame(frame), frame)
        return content[:4] + bytes(1020) + content[1024:]

    return [
        CorruptFile(f"{folder}/IMG_9001.JPG", lambda: b"", None, Failure.EMPTY),
        CorruptFile(f"{folder}/IMG_9002.JPG", lambda: HTML, None, Failure.NOT_AN_IMAGE),
        CorruptFile(f"{folder}/IMG_9003.JPG", cut, BLANK, Failure.TRUNCATED),
        CorruptFile(f"{folder}/IMG_9004.JPG", scratched, None, Failure.UNREADABLE),
        CorruptFile(f"{folder}/IMG_9005.PNG", decompression_bomb, None, Failure.TOO_LARGE),
    ]


def _misnamed(frame: Frame) -> CorruptFile:
    """Add a fourth frame to a blank burst: a PNG under a JPEG's name."""
    fourth = replace(
        frame, moment=frame.moment + timedelta(seconds=2), seconds=frame.seconds + 2, number=3,
        stream=(frame.stream[0], 1_000_000 + frame.stream[1]),
    )  # fmt: skip
    path = frame.path.rsplit("/", 1)[0] + "/IMG_9006.JPG"
    return CorruptFile(path, lambda: encode_png(draw_frame(fourth), fourth), frame.label, None)


def _copies(frames: list[Frame]) -> list[CorruptFile]:
    original, disputed = _first(frames, "ibex"), _first(frames, "fox")

    def content_of(frame: Frame) -> Callable[[], bytes]:
        return lambda: encode_jpeg(draw_frame(frame), frame)

    def named(frame: Frame, number: int) -> str:
        return frame.path.replace(".JPG", f" ({number}).JPG")

    return [
        CorruptFile(named(original, 1), content_of(original), original.label, None, original.path),
        CorruptFile(named(original, 2), content_of(original), original.label, None, original.path),
        CorruptFile(named(disputed, 1), content_of(disputed), "hare", None, disputed.path),
    ]


def decompression_bomb(side: int = BOMB_SIDE) -> bytes:
    """Give a valid black PNG of one bit a pixel, `side` pixels square."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join(deflate.compress(row * 500) for _ in range(side // 500)) + deflate.compress(row * (side % 500))
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels + deflate.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
