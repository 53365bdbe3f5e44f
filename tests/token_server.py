"""A server of tokens on this machine: as App Service gives them to a managed identity, and as AD FS does to a client.

Its tokens are what Azurite's basic OAuth takes: it looks at issuer, audience and time, and at no signature.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import secrets
import ssl
import threading
import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .http_server import Quiet, Server, serving

STORAGE = "https://storage.azure.com"
TENANT = "adfs"  # the one tenant whose name is not looked up in the internet


class TokenServer(Server):
    """A server of tokens for `audience` that last `life` seconds, each after `latency` seconds; can misbehave.

    `refuse` is the status of a refusal (0: none), `hang` keeps everybody waiting. `given` holds all tokens, `asked`
    counts the questions.
    """

    def __init__(self, certificate: Path | None = None):
        super().__init__(_Handler)
        self.audience, self.life, self.latency, self.refuse, self.hang = STORAGE, 3600, 0.0, 0, False
        self.given: list[str] = []
        self.asked, self.guard = 0, threading.Lock()
        self.password = secrets.token_hex(16)
        self.address = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_name("key.pem"))
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def managed_identity(self) -> dict[str, str]:
        """The variables of a machine whose managed identity asks here."""
        return {"IDENTITY_ENDPOINT": f"{self.address}/token", "IDENTITY_HEADER": self.password}

    @property
    def service_principal(self) -> dict[str, str]:
        """The variables of a service principal that asks here."""
        return {
            "AZURE_AUTHORITY_HOST": self.address,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": "irbis",
            "AZURE_CLIENT_SECRET": self.password,
        }

    def token(self) -> str:
        now, issuer = int(time.time()), "https://sts.windows.net/tests/"
        claims = {"aud": self.audience, "iss": issuer, "iat": now - 60, "nbf": now - 60, "exp": now + self.life}
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
        parts.append(secrets.token_bytes(48))  # differs from token to token
        self.given.append(".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts))
        return self.given[-1]


def token_server(*args: Any) -> AbstractContextManager[TokenServer]:
    """Run a server while the block runs."""
    return serving(TokenServer(*args))


def write_certificate(folder: Path, *names: str) -> Path:
    """Write a self-signed cert.pem and key.pem for 127.0.0.1 and `names`, valid for a day; return cert.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    here = x509.SubjectAlternativeName([address, *map(x509.DNSName, names)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem"


class _Handler(Quiet):
    protocol_version = "HTTP/1.1"
    server: TokenServer

    def do_GET(self) -> None:
        if self.path.startswith("/adfs/.well-known/"):
            base = f"{self.server.address}/adfs"
            return self._answer(200, issuer=base, authorization_endpoint=base, token_endpoint=f"{base}/token")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        known = self.headers.get("X-IDENTITY-HEADER") == self.server.password
        right = known and asked == {"api-version": "2019-08-01", "resource": STORAGE}
        self._give(right, expires_on=str(int(time.time()) + self.server.life), resource=STORAGE)

    def do_POST(self) -> None:
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        right = sent["client_secret"] == [self.server.password] and sent["scope"][0].startswith(f"{STORAGE}/.default")
        self._give(right, expires_in=self.server.life)

    def _give(self, right: bool, **more: Any) -> None:
        with self.server.guard:
            self.server.asked += 1
        if self.server.hang:
            self.server.over.wait(100)
            self.close_connection = True
        elif self.server.refuse or not right:
            status = self.server.refuse or 400
            self._answer(status, error="invalid_client", message="no", statusCode=status)
        else:
            time.sleep(self.server.latency)
            self._answer(200, access_token=self.server.token(), token_type="Bearer", **more)

    def _answer(self, status: int, **fields: Any) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
