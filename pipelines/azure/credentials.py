"""Who we are to a storage account: a key, a signature (SAS), or what DefaultAzureCredential finds."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
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
TOKEN_TIMEOUT = 4.5  # seconds for a first token: the user waits
REFRESH_MARGIN = 300  # seconds before its end; the SDK's clients ask for another from then on
SAS_LIFETIME = timedelta(hours=12)  # how long executors may read with what they are given
VARIABLES = {  # those of the Azure command line
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account_key": "AZURE_STORAGE_KEY",
    "sas": "AZURE_STORAGE_SAS_TOKEN",
}
NO_TOKEN = "DefaultAzureCredential gave no token"


@dataclass(frozen=True, repr=False)
class Credential:
    """Hold one way in. `source` says where it was found, and is all that is ever printed."""

    kind: Literal["account key", "SAS", "token"]
    source: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"{self.kind} of {self.source}"

    def for_client(self, account: str) -> Any:
        """Give what the SDK's clients take."""
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

        if self.kind == "account key":
            return AzureNamedKeyCredential(account, self.secret)
        return AzureSasCredential(self.secret) if self.kind == "SAS" else _default()

    def to_read_sas(self, place: BlobLocation, *, may_list: bool = False) -> Credential:
        """Give what may travel: of an account key only a signature that reads this one container for some hours."""
        if self.kind != "account key":
            return self
        from azure.storage.blob import ContainerSasPermissions, generate_container_sas

        now = datetime.now(timezone.utc)
        signature = generate_container_sas(
            place.account,
            place.container,
            account_key=self.secret,
            permission=ContainerSasPermissions(read=True, list=may_list),
            start=now - timedelta(minutes=15),  # clocks differ
            expiry=now + SAS_LIFETIME,
        )
        return Credential("SAS", f"{self.source} (signed for reading)", signature)


def find_credential(given: Azure, signature: str | None, place: BlobLocation) -> Credential:
    """Give the first of: the address's signature, the settings, the variables of the Azure command line, a token.

    Raises AccessError for a place that may not be shown any, or a credential that cannot be one.
    """
    require_known_host(place, given.hosts)
    if signature:
        return _checked(Credential("SAS", "the address", signature))
    sources = {name: f"azure.{name}" for name in VARIABLES}
    for values, names in ((given.credentials, sources), (_variables(), VARIABLES)):
        for name in VARIABLES:
            if value := values.get(name):
                return _checked(_of(name, value, names[name], place.account))
    return Credential("token", "DefaultAzureCredential")


def check_token(credential: Credential) -> None:
    """Raise AccessError within seconds where DefaultAzureCredential finds nothing; clients would try for a minute."""
    if credential.kind != "token":
        return
    answer: Future[Any] = Future()
    begin = time.monotonic()
    try:
        # A daemon, because a pool's thread that hangs would keep the process from ending.
        Thread(target=_ask, args=(_default(), answer), daemon=True).start()
        answer.result(max(1.0, TOKEN_TIMEOUT - time.monotonic() + begin))  # importing takes some of it
    except (Late, TransientError, ValueError, OSError) as error:
        _default.cache_clear()  # what is set from here on, in a notebook, counts the next time
        raise AccessError(_nothing_found(_how(error))) from error


def _how(error: Exception) -> str:
    if isinstance(error, Late):
        return "none answered in time"
    if isinstance(error, TransientError):
        tried = re.findall(r"(\w+Credential): ", str(error.__cause__))
        return f"tried {', '.join(dict.fromkeys(tried)) or 'all it knows'}"
    return str(error)  # of variables that make no sense, or name a file that is not there


def _ask(tokens: _Tokens, answer: Future[Any]) -> None:
    try:
        answer.set_result(tokens.get_token(SCOPE))
    except Exception as error:
        answer.set_exception(error)


class _Tokens:
    """Give one token to all threads of a process: one asks, the others wait for what it gets.

    Each thread for itself would be 16 requests to a metadata service that throttles, or 16 processes `az`. Where
    there is none it raises PassingError: after its own errors the SDK waits for more than a minute.
    """

    def __init__(self, credential: Any):
        self._credential, self._lock = credential, Lock()
        self._kept: dict[str, Any] = {}
        self._failed_at = 0.0

    def get_token(self, *scopes: str, **options: Any) -> Any:
        from azure.core.exceptions import AzureError

        name, begin = f"{scopes} {sorted(options.items())}", time.monotonic()
        with self._lock:
            kept = self._kept.get(name)
            if kept and kept.expires_on - time.time() > REFRESH_MARGIN:
                return kept
            if self._failed_at > begin:  # while this thread waited
                raise TransientError(NO_TOKEN)
            try:
                found = self._kept[name] = self._credential.get_token(*scopes, **options)
                return found
            except AzureError as error:
                self._failed_at = time.monotonic()
                raise TransientError(NO_TOKEN) from error


def redact_sas_in_logs() -> None:
    """Keep signatures out of urllib3's DEBUG lines, which show every address in full."""
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(each, _Hidden) for each in logger.filters):
        logger.addFilter(_Hidden())


class _Hidden(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


@lru_cache(1)
def _default() -> _Tokens:
    """Give the tokens of the one DefaultAzureCredential of this process, renewed when it is time."""
    from azure.identity import DefaultAzureCredential

    from pipelines.azure.retry import SILENCE

    for noisy in ("azure.identity", "azure.core"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return _Tokens(DefaultAzureCredential(process_timeout=3, read_timeout=SILENCE))


def _of(name: str, value: str, source: str, account: str) -> Credential:
    if name == "connection_string":
        return _of_connection_string(value, source, account)
    return Credential("account key" if name == "account_key" else "SAS", source, value)


def _of_connection_string(text: str, source: str, account: str) -> Credential:
    parts = {key.lower(): value for key, equals, value in (part.partition("=") for part in text.split(";")) if equals}
    if parts.get("usedevelopmentstorage") == "true":
        parts = {"accountname": "devstoreaccount1", "accountkey": EMULATOR_KEY}
    named = parts.get("accountname", account)
    if named != account:
        raise AccessError(f"{source} is of the account {named}, sources.images of {account}. Give one for {account}.")
    if "sharedaccesssignature" in parts:
        return Credential("SAS", source, parts["sharedaccesssignature"])
    if "accountkey" in parts:
        return Credential("account key", source, parts["accountkey"])
    raise AccessError(f"{source} has neither AccountKey nor SharedAccessSignature. Copy it whole from the portal.")


def _checked(credential: Credential) -> Credential:
    import base64
    import binascii

    if credential.kind == "SAS":
        signature = credential.secret.strip().lstrip("?")
        if "sig=" not in signature:
            raise AccessError(f"{credential!r}: a signature has a part `sig=`. Copy it whole from the portal.")
        return Credential("SAS", credential.source, signature)
    try:
        base64.b64decode(credential.secret, validate=True)
    except binascii.Error as error:
        raise AccessError(f"{credential!r}: an account key is Base64. Copy it whole from the portal.") from error
    return credential


def _variables() -> Mapping[str, str]:
    return {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}


def _nothing_found(how: str) -> str:
    return (
        "No credential for Azure was found: neither in azure.account_key, azure.sas or azure.connection_string, nor in "
        f"{', '.join(VARIABLES.values())}; DefaultAzureCredential found no token either ({how}). "
        "Run `az login`, or set one of them."
    )
