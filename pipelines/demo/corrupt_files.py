"""The faulty files of every real image set, each made on purpose."""

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
    """One extra file: its path, how it is made, its label, and its failure (None: it can be read)."""

    path: str
    make: Callable[[], bytes]
    label: str | None
    failure: Failure | None
    copy_of: str | None = None


def corrupt_files(frames: list[Frame]) -> list[CorruptFile]:
    """Return the nine extra files of a set.

    Five are unusable (one each of empty, not_an_image, truncated, unreadable, too_large); one is a readable PNG
    named .JPG; two are copies of one image, with its label; one is a copy of another image under another label.
    """
    blank = _first_frame(frames, BLANK)
    return [
        *_unusable_files(blank),
        _misnamed_png(next(f for f in reversed(frames) if f.label == BLANK and f.is_labelled and f.number == 2)),
        *_copies(frames),
    ]


def _first_frame(frames: list[Frame], label: str) -> Frame:
    return next(frame for frame in frames if frame.label == label and frame.is_labelled and frame.number == 0)


def _unusable_files(frame: Frame) -> list[CorruptFile]:
    folder = frame.path.rsplit("/", 1)[0]

    def truncate() -> bytes:
        content = encode_jpeg(draw_frame(frame), frame)
        return content[: int(len(content) * 0.55)]

    def corrupt() -> bytes:
        content = encode_jpeg(draw_frame(frame), frame)
        return content[:4] + bytes(1020) + content[1024:]

    return [
        CorruptFile(f"{folder}/IMG_9001.JPG", lambda: b"", None, Failure.EMPTY),
        CorruptFile(f"{folder}/IMG_9002.JPG", lambda: HTML, None, Failure.NOT_AN_IMAGE),
        CorruptFile(f"{folder}/IMG_9003.JPG", truncate, BLANK, Failure.TRUNCATED),
        CorruptFile(f"{folder}/IMG_9004.JPG", corrupt, None, Failure.UNREADABLE),
        CorruptFile(f"{folder}/IMG_9005.PNG", decompression_bomb, None, Failure.TOO_LARGE),
    ]


def _misnamed_png(frame: Frame) -> CorruptFile:
    """Return a fourth frame for a blank burst: a PNG with a JPEG's suffix."""
    fourth = replace(
        frame, moment=frame.moment + timedelta(seconds=2), seconds=frame.seconds + 2, number=3,
        stream=(frame.stream[0], 1_000_000 + frame.stream[1]),
    )  # fmt: skip
    path = frame.path.rsplit("/", 1)[0] + "/IMG_9006.JPG"
    return CorruptFile(path, lambda: encode_png(draw_frame(fourth), fourth), frame.label, None)


def _copies(frames: list[Frame]) -> list[CorruptFile]:
    original, disputed = _first_frame(frames, "ibex"), _first_frame(frames, "fox")

    def encode(frame: Frame) -> Callable[[], bytes]:
        return lambda: encode_jpeg(draw_frame(frame), frame)

    def copy_path(frame: Frame, number: int) -> str:
        return frame.path.replace(".JPG", f" ({number}).JPG")

    return [
        CorruptFile(copy_path(original, 1), encode(original), original.label, None, original.path),
        CorruptFile(copy_path(original, 2), encode(original), original.label, None, original.path),
        CorruptFile(copy_path(disputed, 1), encode(disputed), "hare", None, disputed.path),
    ]


def decompression_bomb(side: int = BOMB_SIDE) -> bytes:
    """Return a valid black PNG of one bit per pixel, `side` pixels square."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join(deflate.compress(row * 500) for _ in range(side // 500)) + deflate.compress(row * (side % 500))
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels + deflate.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
