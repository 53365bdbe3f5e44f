"""Client of Livy's REST API. Livy 0.5 returns errors as plain text, 0.7 as {"msg": ...}."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from pipelines.azure_uri import is_loopback
from pipelines.config.services import HdinsightSettings
from pipelines.errors import AccessError, SettingsError
from pipelines.runs.backends.base import ConnectionLost

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


class BatchNotFound(AccessError):
    """Livy does not know the batch, or not any more."""


class LivyClient:
    """Client of a Livy server. Raises ConnectionLost for transient errors, else BatchNotFound or AccessError."""

    def __init__(self, settings: HdinsightSettings):
        import requests

        if not settings.url:
            raise SettingsError(
                "hdinsight.url is not set. Set it to the address of the cluster's Livy, such as "
                "https://CLUSTER.azurehdinsight.net/livy."
            )
        self.url, self._user = settings.url.rstrip("/"), settings.user
        self._session = requests.Session()
        # Required where Livy's CSRF protection is on, as on HDInsight.
        self._session.headers["X-Requested-By"] = settings.user
        if settings.token:
            self._session.headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
            self._session.trust_env = False  # otherwise ~/.netrc would override the token
        elif settings.password:
            self._session.auth = (settings.user, settings.password.get_secret_value())
        url = urlsplit(self.url)
        if (settings.token or settings.password) and url.scheme == "http" and not is_loopback(url.hostname):
            raise SettingsError(f"hdinsight.url = {self.url}: passwords and tokens are sent over https only.")

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request to a path below the server's URL and return the decoded JSON."""
        import requests

        try:
            response = self._session.request(
                method, self.url + path, json=body, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), allow_redirects=False
            )
        except requests.exceptions.SSLError as error:
            raise AccessError(f"{self.url}: its certificate is not trusted ({_innermost_message(error)}).") from error
        except requests.RequestException as error:
            raise ConnectionLost(f"The connection to {self.url} was lost: {_innermost_message(error)}.") from error
        if response.status_code < 300:
            return self._parse(response.text)
        reason = f"{response.status_code} {_error_message(response.text) or response.reason}"
        if response.status_code in TRANSIENT_STATUS:
            raise ConnectionLost(f"{self.url} is temporarily unavailable: {reason}.")
        if response.status_code in (401, 403):
            raise AccessError(
                f"{self.url} denied access to {self._user} ({reason}). Set hdinsight.user and "
                "IRBIS_HDINSIGHT__PASSWORD to the cluster's login; started runs continue meanwhile."
            )
        if response.status_code == 404:
            raise BatchNotFound(f"{self.url}{path}: {reason}.")
        raise AccessError(f"{self.url} returned an error: {reason}.")

    def log(self, batch: int) -> list[str]:
        """Return all lines that Livy still has of a batch: the last 200 of each of its streams.

        Requests them at once, because lines move between pages while the batch writes.
        """
        return [str(line) for line in self.request("GET", f"/batches/{batch}/log?from=0&size=-1")["log"]]

    def batches(self) -> list[dict[str, Any]]:
        """Return all batches that Livy knows, the newest first."""
        batches: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", f"/batches?from={len(batches)}&size=100")
            batches += page["sessions"]
            if not page["sessions"] or len(batches) >= page["total"]:
                return sorted(batches, key=lambda batch: int(batch["id"]), reverse=True)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return dict(json.loads(text)) if text.strip() else {}
        except ValueError as error:
            raise AccessError(f"{self.url} did not return JSON as Livy does. Check hdinsight.url.") from error


def _error_message(text: str) -> str:
    """Return the first line of an error, bare or wrapped in JSON; empty for the HTML page of a gateway."""
    try:
        message = json.loads(text)
    except ValueError:
        message = "" if text.lstrip().startswith("<") else text
    message = message.get("msg", "") if isinstance(message, dict) else message
    return (str(message).strip().splitlines() or [""])[0][:300].rstrip(".")


def _innermost_message(error: BaseException) -> str:
    """Return the first line of the innermost cause of an error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
