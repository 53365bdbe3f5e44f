"""Credentials for a storage account: an account key, a SAS, or a token of DefaultAzureCredential."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from threading import Lock, Thread
from typing import Any, Literal

from pipelines.azure.retry import TransientError
from pipelines.azure_uri import EMULATOR_KEY, BlobLocation, require_known_host
from pipelines.config.settings import Azure
from pipelines.errors import AccessError
from pipelines.redaction import redact

SCOPE = "https://storage.azure.com/.default"
TOKEN_TIMEOUT = 4.5  # seconds for the first token: the user waits
REFRESH_MARGIN = 300  # seconds before expiry; the SDK's clients request a new token from then on
SAS_LIFETIME = timedelta(hours=12)  # how long executors can read with their SAS
VARIABLES = {  # of the Azure CLI
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account_key": "AZURE_STORAGE_KEY",
    "sas": "AZURE_STORAGE_SAS_TOKEN",
}
NO_TOKEN = "DefaultAzureCredential gave no token"


@dataclass(frozen=True, repr=False)
class Credential:
    """A credential. `source` tells where it was found; the secret is never printed."""

    kind: Literal["account key", "SAS", "token"]
    source: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"{self.kind} of {self.source}"

    def for_client(self, account: str) -> Any:
        """Return the credential object for the SDK's clients."""
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

        if self.kind == "account key":
            return AzureNamedKeyCredential(account, self.secret)
        return AzureSasCredential(self.secret) if self.kind == "SAS" else _default_tokens()

    def to_read_sas(self, location: BlobLocation, *, may_list: bool = False) -> Credential:
        """Return a credential that executors may have: an account key becomes a read-only SAS of one container."""
        if self.kind != "account key":
            return self
        from azure.storage.blob import ContainerSasPermissions, generate_container_sas

        now = datetime.now(timezone.utc)
        signature = generate_container_sas(
            location.account,
            location.container,
            account_key=self.secret,
            permission=ContainerSasPermissions(read=True, list=may_list),
            start=now - timedelta(minutes=15),  # clocks differ
            expiry=now + SAS_LIFETIME,
        )
        return Credential("SAS", f"{self.source} (signed for reading)", signature)


def find_credential(settings: Azure, signature: str | None, location: BlobLocation) -> Credential:
    """Return the first credential found in: the URI, the settings, the Azure CLI's variables, DefaultAzureCredential.

    Raises AccessError for a host that must not receive credentials, and for a malformed credential.
    """
    require_known_host(location, settings.hosts)
    if signature:
        return _validate(Credential("SAS", "the address", signature))
    sources = {name: f"azure.{name}" for name in VARIABLES}
    for values, names in ((settings.credentials, sources), (_read_variables(), VARIABLES)):
        for name in VARIABLES:
            if value := values.get(name):
                return _validate(_from_setting(name, value, names[name], location.account))
    return Credential("token", "DefaultAzureCredential")


def check_token(credential: Credential) -> None:
    """Raise AccessError within seconds if DefaultAzureCredential finds no token; clients would try for a minute."""
    if credential.kind != "token":
        return
    result: Future[Any] = Future()
    start = time.monotonic()
    try:
        # A daemon thread: a hanging pool thread would keep the process from exiting.
        Thread(target=_request_token, args=(_default_tokens(), result), daemon=True).start()
        result.result(max(1.0, TOKEN_TIMEOUT - time.monotonic() + start))  # the import has used up some of it
    except (FutureTimeoutError, TransientError, ValueError, OSError) as error:
        _default_tokens.cache_clear()  # a login or variable set later, in a notebook, is then used
        raise AccessError(_no_credential_message(_describe_token_error(error))) from error


def _describe_token_error(error: Exception) -> str:
    if isinstance(error, FutureTimeoutError):
        return "timed out"
    if isinstance(error, TransientError):
        tried = re.findall(r"(\w+Credential): ", str(error.__cause__))
        return f"tried {', '.join(dict.fromkeys(tried)) or 'all it knows'}"
    return str(error)  # invalid variables, or a variable with the name of a missing file


def _request_token(tokens: _TokenCache, result: Future[Any]) -> None:
    try:
        result.set_result(tokens.get_token(SCOPE))
    except Exception as error:
        result.set_exception(error)


class _TokenCache:
    """A token cache shared by all threads of a process: one thread requests a token, the others wait for it.

    Otherwise 16 threads would send 16 requests to a metadata service that throttles, or start 16 `az` processes.
    Raises TransientError if there is no token: the SDK would retry its own errors for more than a minute.
    """

    def __init__(self, credential: Any):
        self._credential, self._lock = credential, Lock()
        self._cache: dict[str, Any] = {}
        self._failed_at = 0.0

    def get_token(self, *scopes: str, **options: Any) -> Any:
        from azure.core.exceptions import AzureError

        name, start = f"{scopes} {sorted(options.items())}", time.monotonic()
        with self._lock:
            cached = self._cache.get(name)
            if cached and cached.expires_on - time.time() > REFRESH_MARGIN:
                return cached
            if self._failed_at > start:  # another thread failed while this one waited
                raise TransientError(NO_TOKEN)
            try:
                token = self._cache[name] = self._credential.get_token(*scopes, **options)
                return token
            except AzureError as error:
                self._failed_at = time.monotonic()
                raise TransientError(NO_TOKEN) from error


def redact_sas_in_logs() -> None:
    """Redact SAS in urllib3's DEBUG log, which contains full URIs."""
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(log_filter, _RedactionFilter) for log_filter in logger.filters):
        logger.addFilter(_RedactionFilter())


class _RedactionFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


@lru_cache(1)
def _default_tokens() -> _TokenCache:
    """Return the token cache of this process's only DefaultAzureCredential."""
    from azure.identity import DefaultAzureCredential

    from pipelines.azure.retry import READ_TIMEOUT

    for noisy in ("azure.identity", "azure.core"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return _TokenCache(DefaultAzureCredential(process_timeout=3, read_timeout=READ_TIMEOUT))


def _from_setting(name: str, value: str, source: str, account: str) -> Credential:
    if name == "connection_string":
        return _from_connection_string(value, source, account)
    return Credential("account key" if name == "account_key" else "SAS", source, value)


def _from_connection_string(text: str, source: str, account: str) -> Credential:
    parts = {key.lower(): value for key, equals, value in (part.partition("=") for part in text.split(";")) if equals}
    if parts.get("usedevelopmentstorage") == "true":
        parts = {"accountname": "devstoreaccount1", "accountkey": EMULATOR_KEY}
    account_name = parts.get("accountname", account)
    if account_name != account:
        raise AccessError(
            f"{source} belongs to account {account_name}, sources.images to {account}. Provide one for {account}."
        )
    if "sharedaccesssignature" in parts:
        return Credential("SAS", source, parts["sharedaccesssignature"])
    if "accountkey" in parts:
        return Credential("account key", source, parts["accountkey"])
    raise AccessError(f"{source} has neither AccountKey nor SharedAccessSignature. Copy it completely from the portal.")


def _validate(credential: Credential) -> Credential:
    import base64
    import binascii

    if credential.kind == "SAS":
        signature = credential.secret.strip().lstrip("?")
        if "sig=" not in signature:
            raise AccessError(f"{credential!r}: a SAS contains `sig=`. Copy it completely from the portal.")
        return Credential("SAS", credential.source, signature)
    try:
        base64.b64decode(credential.secret, validate=True)
    except binascii.Error as error:
        raise AccessError(f"{credential!r}: an account key is Base64. Copy it completely from the portal.") from error
    return credential


def _read_variables() -> Mapping[str, str]:
    return {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}


def _no_credential_message(how: str) -> str:
    return (
        "No credential for Azure was found: neither in azure.account_key, azure.sas or azure.connection_string, nor in "
        f"{', '.join(VARIABLES.values())}; DefaultAzureCredential found no token either ({how}). "
        "Run `az login`, or set one of them."
    )
