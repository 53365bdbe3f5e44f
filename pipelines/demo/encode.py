"""Encode images as a camera does, as JPEG with EXIF, and write files atomically."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from pipelines.demo.schedule import Frame
from pipelines.demo.sites import SITES

QUALITY = 80
EXIF_IFD, MAKE, MODEL, ORIENTATION, DATE_TIME = 0x8769, 0x010F, 0x0110, 0x0112, 0x0132
DATE_TIME_ORIGINAL, SERIAL_NUMBER = 0x9003, 0xA431
MAKERS = (("SAKER", "T4 NO-GLOW"), ("PAMIR OPTICS", "P2"))
STORED_TRANSPOSITIONS = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}  # how the pixels lie in the file


def serial_number(camera: str) -> str:
    """Return the serial number of a camera, as stored in its EXIF."""
    return f"SN{camera[-2:]}4711"


def get_orientation(frame: Frame) -> int:
    """Return the EXIF orientation: 1, but 6 or 8 on the days when the sideways camera was rotated."""
    sideways = any(site.sideways for site in SITES if site.camera == frame.camera)
    return {0: 6, 3: 8}.get(frame.moment.day % 6, 1) if sideways else 1


def build_exif(frame: Frame, orientation: int = 1) -> bytes:
    """Return the EXIF block: time, make, model and serial number of the camera."""
    moment = f"{frame.moment:%Y:%m:%d %H:%M:%S}"
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = MAKERS[int(frame.camera[-1]) % 2]
    exif[ORIENTATION], exif[DATE_TIME] = orientation, moment
    exif[EXIF_IFD] = {DATE_TIME_ORIGINAL: moment, SERIAL_NUMBER: serial_number(frame.camera)}
    return exif.tobytes()


def encode_jpeg(image: Image.Image, frame: Frame) -> bytes:
    """Encode an upright image as the camera stores it, rotated if the camera was rotated."""
    orientation = get_orientation(frame)
    stored = image.transpose(STORED_TRANSPOSITIONS[orientation]) if orientation in STORED_TRANSPOSITIONS else image
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=QUALITY, exif=build_exif(frame, orientation))
    return buffer.getvalue()


def encode_png(image: Image.Image, frame: Frame) -> bytes:
    """Encode an upright image as PNG with the same EXIF."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=build_exif(frame))
    return buffer.getvalue()


def write_atomic(path: Path, content: bytes, scratch: Path) -> None:
    """Write a file atomically; `scratch` is a folder on the same disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    unfinished = scratch / f"{os.getpid()}-{path.name}"
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
