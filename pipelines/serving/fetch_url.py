"""Fetch an image from a URL below a prefix that the operator allows, and from nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout, Url, parse_url

from pipelines.errors import ImageError, SettingsError
from pipelines.safe_paths import find_dot_segment
from pipelines.schemas import Failure

MAX_SECONDS = 30.0  # of a whole download
CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
_CHUNK = 1 << 16
_FAILURES = {401: Failure.FORBIDDEN, 403: Failure.FORBIDDEN, 404: Failure.VANISHED, 410: Failure.VANISHED}


def normalize_prefix(prefix: str) -> str:
    """Return a prefix as the comparison needs it, with a slash at its end. Raises SettingsError if it is none."""
    try:
        url = parse_url(prefix.strip())
    except LocationParseError:
        url = Url()
    if url.scheme not in ("http", "https") or not url.host or url.auth or url.query or url.fragment:
        raise SettingsError(
            f"{prefix!r} is no prefix of URLs that images may be read from: expected https://HOST/FOLDER/."
        )
    return _plain(url).rstrip("/") + "/"


def fetch(address: str, prefixes: Sequence[str], max_bytes: int) -> bytes:
    """Return the bytes at a URL. Follows no redirects, which could lead out of the prefix.

    Raises ImageError: forbidden if no prefix allows the address, too_large, vanished or unavailable.
    """
    url = _require_allowed(address, prefixes)
    deadline, content = time.monotonic() + MAX_SECONDS, bytearray()
    try:
        # Without compression, so that a small answer cannot become a large one here.
        response = _pool().request(
            "GET",
            url,
            headers={"Accept-Encoding": "identity"},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )
        try:
            if response.status != 200:
                failure = _FAILURES.get(response.status, Failure.UNAVAILABLE)
                raise ImageError(failure, f"the server answered with status {response.status}")
            while chunk := response.read(_CHUNK, decode_content=False):
                content += chunk
                if len(content) > max_bytes:
                    raise ImageError(Failure.TOO_LARGE, f"more than {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise ImageError(Failure.UNAVAILABLE, f"not received within {MAX_SECONDS:g} s")
        finally:
            response.close()
    except (HTTPError, OSError) as error:
        raise ImageError(Failure.UNAVAILABLE, f"the server did not answer: {type(error).__name__}") from None
    return bytes(content)


def _require_allowed(address: str, prefixes: Sequence[str]) -> str:
    """Return an address as it will be requested, if it lies below a prefix."""
    with suppress(LocationParseError):
        url = parse_url(address)  # resolves `..`, and lowers scheme and host
        is_plain = not url.auth and "\\" not in address and not find_dot_segment(unquote(unquote(url.path or "")))
        if is_plain and any(_plain(url).startswith(prefix) for prefix in prefixes):
            return url.url
    raise ImageError(Failure.FORBIDDEN, "not below a URL that this model may read (IRBIS_SERVE_URLS)")


def _plain(url: Url) -> str:
    """Return a URL without query and fragment, with its port."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme or "", 0)
    return f"{url.scheme}://{url.host}:{port}{url.path or '/'}"


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager()
