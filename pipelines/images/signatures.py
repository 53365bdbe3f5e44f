"""Detect the format of a file by its first bytes. Names and suffixes are ignored: cameras, exports and web servers get
them wrong."""

from __future__ import annotations

import re

from pipelines.errors import ImageError
from pipelines.schemas import Failure

SUPPORTED = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),  # bare codestream
    (b"\0\0\1\0", "ICO"),
)
UNSUPPORTED = (
    (b"FUJIFILMCCD-RAW", "Fuji RAW (RAF)"),
    (b"IIRO", "Olympus RAW (ORF)"),
    (b"IIRS", "Olympus RAW (ORF)"),
    (b"MMOR", "Olympus RAW (ORF)"),
    (b"IIU\0", "Panasonic RAW (RW2)"),
    (b"FOVb", "Sigma RAW (X3F)"),
    (b"\0MRM", "Minolta RAW (MRW)"),
    (b"8BPS", "Photoshop document"),
    (b"%PDF", "PDF document"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"gimp xcf", "GIMP document"),
    (b"AT&TFORM", "DjVu document"),
    (b"qoif", "QOI"),
    (b"BPG\xfb", "BPG"),
    (b"icns", "Apple icon"),
    (b"DDS ", "DirectDraw surface"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media video"),
    (b"FLV\1", "Flash video"),
    (b"\0\0\1\xba", "MPEG video"),
    (b"\0\0\1\xb3", "MPEG video"),
)
# ISO 14496-12 brands; see ISO 23008-12 for HEIF and the AVIF specification.
_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free")
_NETPBM = re.compile(rb"P[1-6Ff]\s+(\d|#|$)")
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}


def detect_supported_format(content: bytes) -> str | None:
    """Return the image format if a decoder here reads it, else None."""
    for signature, name in SUPPORTED:
        if content.startswith(signature):
            return None if name == "TIFF" and content[8:10] == b"CR" else name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp" and _read_brands(content) & _AVIF:
        return "AVIF"
    if content[:2] == b"BM" and _is_bmp(content):
        return "BMP"
    return "PPM" if _NETPBM.match(content[:64]) else None


def require_signature(content: bytes) -> str:
    """Return the image format of the first bytes.

    Raises ImageError: empty, not_an_image, unsupported_format, or truncated if they are shorter than a signature.
    """
    if not content:
        raise ImageError(Failure.EMPTY, "no bytes")
    format_ = detect_supported_format(content)
    if format_ is None:
        raise _unknown_format_error(content)
    return format_


def detect_unsupported_format(content: bytes) -> str | None:
    """Return the name of a format of images, RAW files, documents or videos that no decoder here reads, else None."""
    for signature, name in UNSUPPORTED:
        if content.startswith(signature):
            return name
    if content[:4] in (b"II*\0", b"MM\0*"):
        return "Canon RAW (CR2)"
    if content[:4] == b"RIFF":
        return {b"AVI ": "AVI video", b"WAVE": "WAVE sound"}.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _describe_iso_media(content)
    if content[4:8] in _QUICKTIME:
        return "QuickTime video"
    if content[128:132] == b"DICM":
        return "DICOM"
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    is_svg = start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start)
    return "SVG drawing" if is_svg else None


def is_partial_signature(content: bytes) -> bool:
    """Return whether these few bytes are the start of an image's signature and not text."""
    return len(content) >= 2 and not content.isascii() and any(s.startswith(content) for s, _ in SUPPORTED)


def describe_bytes(content: bytes) -> str:
    """Describe bytes that are not an image, for the detail of the failure."""
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: the image itself was never downloaded (git lfs pull)"
    if start[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return f"starts with {content[:16]!r}"


def _unknown_format_error(content: bytes) -> ImageError:
    if is_partial_signature(content):
        return ImageError(Failure.TRUNCATED, f"{len(content)} bytes, less than a signature")
    name = detect_unsupported_format(content)
    if name:
        return ImageError(Failure.UNSUPPORTED_FORMAT, name)
    return ImageError(Failure.NOT_AN_IMAGE, describe_bytes(content))


def _read_brands(content: bytes) -> set[bytes]:
    end = min(int.from_bytes(content[:4], "big"), 256)
    return {content[8:12]} | {content[position : position + 4] for position in range(16, end, 4)}


def _describe_iso_media(content: bytes) -> str:
    brands = _read_brands(content)
    if content[8:12] == b"crx ":
        return "Canon RAW (CR3)"
    return "HEIF image (HEIC)" if brands & _HEIF else "MP4 or QuickTime video"


def _is_bmp(content: bytes) -> bool:
    if len(content) < 18:
        return not content.isascii() or b"\0" in content
    return int.from_bytes(content[14:18], "little") in _BMP_HEADERS
