"""Read the ways in which a container is written: az://, https://, abfss://, wasbs:// and Azurite's address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from pipelines.errors import DataError

CLOUD = "blob.core.windows.net"
HOST = r"(?P<account>[a-z0-9]{3,24}(?:-secondary)?)\.(?:blob|dfs)\.(?P<cloud>[a-z0-9.-]+)"
FORMS = (
    re.compile(r"az://(?P<account>[a-z0-9]{3,24})/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^/@]+)@{HOST}(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"https://{HOST}/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"),
    # An emulator or a private endpoint: the account is the first part of the path.
    re.compile(
        r"(?P<endpoint>https?://[^/@?]+/(?P<account>[a-z0-9]{3,24}))/(?P<container>[^/?]+)"
        r"(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"
    ),
)
EXAMPLE = "az://ACCOUNT/CONTAINER/PREFIX"


@dataclass(frozen=True)
class Place:
    """Hold where blobs are: `endpoint` is the account's address, `prefix` is empty or ends with a slash."""

    endpoint: str
    account: str
    container: str
    prefix: str

    @property
    def root(self) -> str:
        """The address of the container; a blob's path is this and its name, unescaped."""
        return f"{self.endpoint}/{self.container}/"


def parse_place(address: str) -> tuple[Place, str | None]:
    """Give the place, and the signature (SAS) that the address brought along. All spellings of one place are one.

    A prefix in an https address is unescaped, as browsers and the portal escape it; in the others it is as stored.
    Raises DataError for anything else, without repeating what stands after the question mark.
    """
    for form in FORMS:
        if found := form.match(address):
            parts = found.groupdict()
            prefix = parts["prefix"] or ""
            prefix = unquote(prefix) if address.startswith("http") else prefix
            cloud = parts.get("cloud")
            host = f"blob.{cloud}" if cloud else CLOUD
            endpoint = parts.get("endpoint") or f"https://{parts['account']}.{host}"
            prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            return Place(endpoint, parts["account"], parts["container"], prefix), parts.get("signature")
    raise DataError(f"sources.images = {address.partition('?')[0]}: no container is named. Write {EXAMPLE}.")
