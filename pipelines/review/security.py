"""Who may talk to the server: this machine's browser, with the token of the address that was printed.

Checks of every request, in this order: Host (a foreign page cannot reach the server by rebinding its own name), method,
the token of the first address or the cookie made from it, and for POST the Origin and a token in a header, which no
other page can set. Each failure is a short text without details.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
TOKEN_HEADER = "x-irbis-token"
MAX_BODY = 2**20  # bytes: 15,000 content hashes
METHODS = ("GET", "HEAD", "POST")
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
EXPIRED = "Open the address that `irbis review` printed: it contains the key to this page."


def is_loopback(host: str) -> bool:
    """Return whether a host to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Access:
    """The secrets of a server, and the names under which it is reached."""

    port: int
    hosts: frozenset[str]
    is_open: bool = False  # other machines may connect
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)  # in the first address
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    header: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)  # in the page

    @classmethod
    def of(cls, host: str, port: int) -> Access:
        """Return new secrets for a server that listens on a host."""
        if is_loopback(host):
            return cls(port, frozenset(LOOPBACK_NAMES))
        own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(port, frozenset({*LOOPBACK_NAMES, *own}), is_open=True)

    @property
    def cookie_name(self) -> str:
        """Cookies are shared by all ports of a host: two servers need two names."""
        return f"irbis_review_{self.port}"

    def allows_host(self, host: str) -> bool:
        """Return whether a Host header names this server. The port may be that of a forwarded one."""
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name or not port.isdigit():
            name = host
        return name.lower() in self.hosts or (self.is_open and _is_address(name))


class Guard:
    """ASGI middleware that applies the checks, limits bodies, and adds the headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # there are no web sockets
            return await send({"type": "websocket.close", "code": 1008})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            return await refusal(scope, receive, send_with_headers)
        if scope["method"] == "POST":
            body = await _read_body(receive)
            if body is None:
                too_large = PlainTextResponse(f"A request may have at most {MAX_BODY:,} bytes.", 413)
                return await too_large(scope, receive, send_with_headers)
            return await self._app(scope, _replay(body, receive), send_with_headers)
        await self._app(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers, access = Headers(scope=scope), self._access
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not access.allows_host(hosts[0]):
            return PlainTextResponse("This server does not answer under this name.", 400)
        if scope["method"] not in METHODS:
            return PlainTextResponse("Only GET and POST.", 405)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and scope["method"] == "GET" and "key" in query:
            return self._exchange_key(query)
        if not _is_same(cookie_parser(headers.get("cookie", "")).get(access.cookie_name, ""), access.cookie):
            return PlainTextResponse(EXPIRED, 403)
        if scope["method"] == "POST":
            if headers.get("origin") != f"http://{hosts[0]}":
                return PlainTextResponse("Only the page itself may send decisions.", 403)
            if not _is_same(headers.get(TOKEN_HEADER, ""), access.header):
                return PlainTextResponse("The token of the page is missing: reload it.", 403)
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return PlainTextResponse("Only JSON.", 415)
        return None

    def _exchange_key(self, query: dict[str, list[str]]) -> Response:
        """Turn the key in the first address into a cookie, and go on to the address without it.

        The page goes there itself: after a redirect from a link on another site, as in a terminal in the browser, a
        strict cookie would not be sent.
        """
        if not _is_same(query.pop("key")[0], self._access.key):
            return PlainTextResponse(EXPIRED, 403)
        rest = urlencode({name: values[0] for name, values in query.items()})
        address = html.escape(f"/?{rest}" if rest else "/")
        response = HTMLResponse(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><title>irbis</title>'
        )
        response.set_cookie(self._access.cookie_name, self._access.cookie, httponly=True, samesite="strict", path="/")
        return response


def _is_address(name: str) -> bool:
    """Return whether a name is an IP address, which no foreign page can rebind."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_same(value: str, secret: str) -> bool:
    return hmac.compare_digest(value.encode(), secret.encode())


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None as soon as it exceeds MAX_BODY."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the client has gone
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
