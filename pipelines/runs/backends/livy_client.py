"""Livy's REST interface, and what it answers in our words. 0.5 writes an error as a bare text, 0.7 as {"msg": ...}."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from pipelines.azure_uri import is_loopback
from pipelines.config.settings import HdinsightSettings
from pipelines.errors import AccessError, SettingsError
from pipelines.runs.backends.base import ConnectionLost

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds: to be connected, without a byte
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


class BatchNotFound(AccessError):
    """Livy does not know what it is asked about (any more)."""


class LivyClient:
    """Ask a Livy server. Raises ConnectionLost where it does not answer, Forgotten, and AccessError for a refusal."""

    def __init__(self, settings: HdinsightSettings):
        import requests

        if not settings.url:
            raise SettingsError(
                "hdinsight.url is not set: the address of the cluster's Livy, such as "
                "https://CLUSTER.azurehdinsight.net/livy."
            )
        self.url, self._user = settings.url.rstrip("/"), settings.user
        self._session = requests.Session()
        # With protection against forged requests on, as HDInsight has it, Livy refuses what comes without.
        self._session.headers["X-Requested-By"] = settings.user
        if settings.token:
            self._session.headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
            self._session.trust_env = False  # or a ~/.netrc goes before it
        elif settings.password:
            self._session.auth = (settings.user, settings.password.get_secret_value())
        place = urlsplit(self.url)
        if (settings.token or settings.password) and place.scheme == "http" and not is_loopback(place.hostname):
            raise SettingsError(f"hdinsight.url = {self.url}: passwords and tokens travel over https only.")

    def request(self, method: str, path: str, told: Any = None) -> dict[str, Any]:
        """Give the answer to a request below the server's address."""
        import requests

        try:
            response = self._session.request(
                method, self.url + path, json=told, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), allow_redirects=False
            )
        except requests.exceptions.SSLError as error:
            raise AccessError(f"{self.url}: its certificate is not trusted ({_innermost_message(error)}).") from error
        except requests.RequestException as error:
            raise ConnectionLost(f"The connection to {self.url} broke: {_innermost_message(error)}.") from error
        if response.status_code < 300:
            return self._parse(response.text)
        reason = f"{response.status_code} {_error_message(response.text) or response.reason}"
        if response.status_code in TRANSIENT_STATUS:
            raise ConnectionLost(f"{self.url} does not answer as it should: {reason}.")
        if response.status_code in (401, 403):
            raise AccessError(
                f"{self.url} refuses {self._user} ({reason}). Set hdinsight.user and IRBIS_HDINSIGHT__PASSWORD to the "
                "cluster's login; runs that were started go on meanwhile."
            )
        if response.status_code == 404:
            raise BatchNotFound(f"{self.url}{path}: {reason}.")
        raise AccessError(f"{self.url} answers: {reason}.")

    def log(self, batch: int) -> list[str]:
        """Give all the lines that Livy still has of a batch: the last 200 of each of its streams.

        In one answer: the lines move up while they are turned page by page.
        """
        return [str(line) for line in self.request("GET", f"/batches/{batch}/log?from=0&size=-1")["log"]]

    def batches(self) -> list[dict[str, Any]]:
        """Give all batches that Livy knows, the newest first."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", f"/batches?from={len(found)}&size=100")
            found += page["sessions"]
            if not page["sessions"] or len(found) >= page["total"]:
                return sorted(found, key=lambda batch: int(batch["id"]), reverse=True)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return dict(json.loads(text)) if text.strip() else {}
        except ValueError as error:
            raise AccessError(f"{self.url} answers, but not as Livy does. Is hdinsight.url its address?") from error


def _error_message(text: str) -> str:
    """Give the first line of an error, however it is wrapped; pages of a gateway say nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        found = "" if text.lstrip().startswith("<") else text
    found = found.get("msg", "") if isinstance(found, dict) else found
    return (str(found).strip().splitlines() or [""])[0][:300].rstrip(".")


def _innermost_message(error: BaseException) -> str:
    """Give the innermost of the causes, which says what happened."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
