"""Parse the URIs of Blob Storage containers: az://, https://, abfss://, wasbs:// and Azurite's URI."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pipelines.errors import AccessError, DataError
from pipelines.safe_paths import find_dot_segment

DEFAULT_CLOUD_SUFFIX = "blob.core.windows.net"
CLOUDS = (
    "core.windows.net",
    "core.chinacloudapi.cn",
    "core.usgovcloudapi.net",
)  # Azure, its clouds in China and the USA
EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public
EMULATOR_PORT = 10000  # the only port that Hadoop's file system tries
HOST_PATTERN = r"(?P<account>[a-z0-9]{3,24}(?:-secondary)?)\.(?:blob|dfs)\.(?P<cloud>[a-z0-9.-]+)"
URI_PATTERNS = (
    re.compile(r"az://(?P<account>[a-z0-9]{3,24})/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^/@]+)@{HOST_PATTERN}(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"https://{HOST_PATTERN}/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"),
    # An emulator or a private endpoint: the account is the first segment of the path.
    re.compile(
        r"(?P<endpoint>https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?/(?P<account>[a-z0-9]{3,24}))/(?P<container>[^/?]+)"
        r"(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"
    ),
)
SCHEMES = ("az", "https", "http", "abfss", "abfs", "wasbs", "wasb")
EXAMPLE_URI = "az://ACCOUNT/CONTAINER/PREFIX"


@dataclass(frozen=True)
class BlobLocation:
    """The location of blobs: `endpoint` is the account's URI, `prefix` is empty or ends with a slash."""

    endpoint: str
    account: str
    container: str
    prefix: str

    @property
    def root(self) -> str:
        """Return the URI of the container; a blob's path is this URI plus the unescaped blob name."""
        return f"{self.endpoint}/{self.container}/"

    @property
    def host(self) -> str:
        """Return the account's host name in the cloud, also for an emulator: Hadoop knows no other form."""
        host = self.endpoint.partition("://")[2]
        return f"{self.account}.{DEFAULT_CLOUD_SUFFIX}" if "/" in host else host

    @property
    def is_emulator(self) -> bool:
        return self.account == EMULATOR_ACCOUNT

    def to_hadoop_uri(self, scheme: str) -> str:
        """Return the URI for a Hadoop file system, without a trailing slash."""
        host = self.host.replace(".blob.", ".dfs.", 1) if scheme.startswith("abfs") else self.host
        return f"{scheme}://{self.container}@{host}/{self.prefix}".rstrip("/")


def is_azure_uri(address: str) -> bool:
    """Return whether a URI refers to Blob Storage, judged by its scheme."""
    return address.partition("://")[0] in SCHEMES and "://" in address


def parse_blob_uri(address: str) -> tuple[BlobLocation, str | None]:
    """Return the location and the SAS in the URI, if any. All spellings of one location compare equal.

    The prefix of an https URI is unescaped, because browsers and the portal escape it; other prefixes are kept as
    they are. Raises DataError for anything else; the message omits everything after the question mark.
    """
    for pattern in URI_PATTERNS:
        if match := pattern.match(address):
            parts = match.groupdict()
            prefix = parts["prefix"] or ""
            prefix = unquote(prefix) if address.startswith("http") else prefix
            cloud = parts.get("cloud")
            host = f"blob.{cloud}" if cloud else DEFAULT_CLOUD_SUFFIX
            endpoint = parts.get("endpoint") or _build_endpoint(parts["account"], host)
            if fault := find_dot_segment(f"{parts['container']}/{prefix}"):
                raise DataError(f"sources.images = {address.partition('?')[0]}: {fault}. Write the URI without it.")
            prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            return BlobLocation(endpoint, parts["account"], parts["container"], prefix), parts.get("signature")
    raise DataError(f"sources.images = {address.partition('?')[0]}: no container is named. Write {EXAMPLE_URI}.")


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or IP address is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def require_known_host(location: BlobLocation, extra_hosts: Collection[str]) -> None:
    """Raise AccessError unless credentials (keys, SAS, tokens) may be sent to the host of the location.

    Allowed are Blob Storage in the Azure clouds, this machine, and `extra_hosts`; an entry that begins with a dot
    matches all its subdomains. Over plain http only this machine is allowed.
    """
    parts = urlsplit(location.endpoint)
    host = parts.hostname or ""
    if is_loopback(host):
        return
    azure_hosts = [f".{service}.{cloud}" for service in ("blob", "dfs") for cloud in CLOUDS]
    if not any(
        host == allowed or (allowed.startswith(".") and host.endswith(allowed))
        for allowed in (*azure_hosts, *extra_hosts)
    ):
        raise AccessError(
            f"{location.root}: credentials are not sent to {host}, which is not a host of Azure Blob Storage. If you "
            f"trust it, add it: IRBIS_AZURE__HOSTS={host} or --set azure.hosts={host}."
        )
    if parts.scheme != "https":
        raise AccessError(
            f"{location.root}: credentials are only sent over https, or over http to this machine. "
            f"Write https://{location.root.partition('://')[2]}."
        )


def to_hadoop_uri(address: str) -> str:
    """Return a URI in the form that Spark opens, without a trailing slash; other than Azure URIs stay unchanged.

    Raises ValueError for a URI without a container, with a SAS, or of an emulator at another port than the one that
    Hadoop's file system tries.
    """
    if not is_azure_uri(address):
        return address
    try:
        location, signature = parse_blob_uri(address)
    except DataError as error:
        raise ValueError(f"no container is named; write {EXAMPLE_URI}") from error
    if signature:
        raise ValueError("it contains a SAS, which would be stored with every path; set azure.sas instead")
    scheme = address.partition("://")[0]
    if not location.is_emulator:
        if "/" in location.endpoint.partition("://")[2]:
            raise ValueError(f"tables can only be written to accounts at {DEFAULT_CLOUD_SUFFIX} and to the emulator")
        return location.to_hadoop_uri(scheme if scheme.startswith(("abfs", "wasb")) else "abfss")
    if location.endpoint != _build_endpoint(EMULATOR_ACCOUNT, DEFAULT_CLOUD_SUFFIX):
        raise ValueError(f"an emulator is only supported at 127.0.0.1:{EMULATOR_PORT}")
    return location.to_hadoop_uri("wasb")


def _build_endpoint(account: str, host: str) -> str:
    return (
        f"http://127.0.0.1:{EMULATOR_PORT}/{EMULATOR_ACCOUNT}"
        if account == EMULATOR_ACCOUNT
        else f"https://{account}.{host}"
    )
