"""The bytes behind a value of the column `image`: base64, a data URI, a path, or a URL.

What a caller sends as base64 is theirs. A path or a URL makes the server read, so each is refused unless the operator
allows where it leads: otherwise whoever may send a request could probe the server's files, or services that only the
server can reach. On the command line the caller and the operator are the same person, so every file is allowed.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from pipelines.errors import ImageError
from pipelines.images.signatures import detect_supported_format
from pipelines.safe_paths import resolves_below
from pipelines.schemas import Failure
from pipelines.serving.fetch_url import fetch, normalize_prefix

FOLDERS_VARIABLE, URLS_VARIABLE = "IRBIS_SERVE_FOLDERS", "IRBIS_SERVE_URLS"
MAX_PATH = 4096  # characters of a path or URL
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SPACE = re.compile(r"\s+")
_HEAD = 64  # characters of base64 that hold the longest signature


@dataclass(frozen=True)
class AllowedSources:
    """The places that a path or URL may lead to: folders, and beginnings of URLs such as https://host/container/.

    `any_file`: every local file that this process may read. By default nothing is allowed.
    """

    folders: tuple[str, ...] = ()
    url_prefixes: tuple[str, ...] = ()
    any_file: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError for a prefix that is not an http(s) URL with a host."""
        object.__setattr__(self, "url_prefixes", tuple(map(normalize_prefix, self.url_prefixes)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> AllowedSources:
        """Return what the operator of a server allows: folders separated as in PATH, URLs by white space."""
        folders = environment.get(FOLDERS_VARIABLE, "").split(os.pathsep)
        return cls(tuple(filter(None, folders)), tuple(environment.get(URLS_VARIABLE, "").split()))


def read_image(value: str | bytes | bytearray | None, allowed: AllowedSources, max_bytes: int) -> bytes:
    """Return the bytes of an image.

    Bytes are returned as they are. Text that is base64 of an image is decoded; else it is a URL if it has a scheme, and
    a path if it is absolute, cannot be base64, or is that of a file in an allowed folder. Raises ImageError: empty,
    not_an_image, too_large, or as the source fails: forbidden, vanished, unavailable.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bounded(bytes(value), max_bytes)
    if not isinstance(value, str):
        if value is None or value != value:  # NaN is what pandas has for a missing text
            raise ImageError(Failure.EMPTY, "no image")
        raise ImageError(Failure.NOT_AN_IMAGE, f"{type(value).__name__} instead of text")
    text = value.strip()
    if not text:
        raise ImageError(Failure.EMPTY, "no image")
    if text[:5].lower() == "data:":
        return _decode_data_uri(text, max_bytes)
    if _starts_like_image(text):
        return _decode_base64(text, max_bytes)
    if len(text) <= MAX_PATH:
        if (scheme := _SCHEME.match(text)) and scheme[0].lower() != "file://":
            return fetch(text, allowed.url_prefixes, max_bytes)
        path, is_path = _to_path(text), text.startswith("/") or not _BASE64.fullmatch(_SPACE.sub("", text))
        if is_path or (_is_allowed(path, allowed) and path.is_file()):
            return _read_file(path, allowed, max_bytes)
    return _decode_base64(text, max_bytes)


def _bounded(content: bytes, max_bytes: int) -> bytes:
    if len(content) > max_bytes:
        raise ImageError(Failure.TOO_LARGE, f"{len(content)} bytes, more than {max_bytes}")
    return content


def _starts_like_image(text: str) -> bool:
    """Return whether text is base64 whose first bytes are those of an image: that of a JPEG looks like a path, /9j/."""
    head = _SPACE.sub("", text[: 2 * _HEAD])[:_HEAD]
    head = head.rstrip("=")
    if not _BASE64.fullmatch(head):
        return False
    content = base64.urlsafe_b64decode(head[: len(head) // 4 * 4].replace("+", "-").replace("/", "_"))
    return detect_supported_format(content) is not None


def _decode_base64(text: str, max_bytes: int) -> bytes:
    """Decode base64 of either alphabet, with or without white space and padding."""
    if len(text) // 4 * 3 > max_bytes + max_bytes // 8:  # with line breaks
        raise ImageError(Failure.TOO_LARGE, f"{len(text)} characters of base64, more than {max_bytes} bytes")
    plain = _SPACE.sub("", text).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(Failure.NOT_AN_IMAGE, f"neither base64 nor a path: {str(error)[:100]}") from None
    return _bounded(content, max_bytes)


def _decode_data_uri(text: str, max_bytes: int) -> bytes:
    header, comma, data = text[5:].partition(",")
    if not comma:
        raise ImageError(Failure.NOT_AN_IMAGE, "a data URI without a comma")
    if header.lower().endswith(";base64"):
        return _decode_base64(unquote(data) if "%" in data else data, max_bytes)
    return _bounded(unquote_to_bytes(data), max_bytes)


def _to_path(text: str) -> Path:
    if text[:7].lower() != "file://":
        return Path(text)
    path = urlsplit(text).path
    # Bytes of a name need not be UTF-8, which url2pathname expects.
    return Path(url2pathname(path)) if os.name == "nt" else Path(os.fsdecode(unquote_to_bytes(path)))


def _is_allowed(path: Path, allowed: AllowedSources) -> bool:
    return "\0" not in str(path) and (
        allowed.any_file or any(resolves_below(path, folder) for folder in allowed.folders)
    )


def _read_file(path: Path, allowed: AllowedSources, max_bytes: int) -> bytes:
    """Read a regular file. Of a path that is not allowed, the message does not say whether it exists."""
    if not _is_allowed(path, allowed):
        raise ImageError(Failure.FORBIDDEN, f"not in a folder that this model may read ({FOLDERS_VARIABLE})")
    try:
        # Resolved, so that a link that changes after the check leads nowhere else; a pipe would block.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(os.path.realpath(path), flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError(Failure.NOT_AN_IMAGE, "not a regular file")
            content = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(Failure.VANISHED, error.strerror or "no such file") from None
    except IsADirectoryError:
        raise ImageError(Failure.NOT_AN_IMAGE, "a folder") from None
    except PermissionError as error:
        raise ImageError(Failure.FORBIDDEN, error.strerror or "permission denied") from None
    except (OSError, ValueError) as error:
        raise ImageError(Failure.UNAVAILABLE, str(getattr(error, "strerror", None) or error)[:200]) from None
    if len(content) > max_bytes:
        raise ImageError(Failure.TOO_LARGE, f"more than {max_bytes} bytes")
    return content
