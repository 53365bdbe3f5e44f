"""Map the exceptions that Pillow raises for invalid bytes to failures."""

from __future__ import annotations

import re
import struct
import zlib

from PIL import Image

from pipelines.errors import ImageError
from pipelines.images.containers import is_truncated
from pipelines.schemas import Failure

# Exceptions of Pillow's modules for invalid bytes. LookupError: IndexError and KeyError; ArithmeticError:
# OverflowError and ZeroDivisionError; ValueError: UnicodeError too; OSError: UnidentifiedImageError too.
# AttributeError, AssertionError and NameError are bugs of Pillow on malformed files.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    MemoryError,
    RuntimeError,
    Image.DecompressionBombError,
    AttributeError,
    AssertionError,
    NameError,
)

_UNSUPPORTED = re.compile(
    r"unsupported|unknown (pixel mode|data organization|compression)|cannot handle"
    r"|not (available|supported|installed)",
    re.IGNORECASE,
)
_TRUNCATED = re.compile(r"truncated|not enough|reached eof|unexpected end|end of file", re.IGNORECASE)
_ADDRESS = re.compile(r" ?(object )?at 0x[0-9a-fA-F]+")


def classify_decode_error(error: Exception, format_: str, content: bytes, *, ran_out: bool = False) -> ImageError:
    """Return an ImageError for what Pillow raised; Pillow's message becomes the detail.

    A lack of memory is too_large. A container that ends before its announced end is truncated, whatever the
    decoder reports.
    """
    message = str(error) or type(error).__name__
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        failure = Failure.TOO_LARGE
    elif ran_out or _TRUNCATED.search(message) or is_truncated(format_, content):
        failure = Failure.TRUNCATED
    elif _UNSUPPORTED.search(message) or (format_ == "TIFF" and isinstance(error.__cause__, KeyError)):
        failure = Failure.UNSUPPORTED_FORMAT
    else:
        failure = Failure.UNREADABLE
    return ImageError(failure, f"{format_}: {' '.join(_ADDRESS.sub('', message).split())[:300]}")
