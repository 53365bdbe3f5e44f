"""Read the ways in which a container is written: az://, https://, abfss://, wasbs:// and Azurite's address."""

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
EMULATOR_PORT = 10000  # the only one at which Hadoop's file system looks for it
HOST_PATTERN = r"(?P<account>[a-z0-9]{3,24}(?:-secondary)?)\.(?:blob|dfs)\.(?P<cloud>[a-z0-9.-]+)"
URI_PATTERNS = (
    re.compile(r"az://(?P<account>[a-z0-9]{3,24})/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^/@]+)@{HOST_PATTERN}(?:/(?P<prefix>[^?]*))?$"),
    re.compile(rf"https://{HOST_PATTERN}/(?P<container>[^/?]+)(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"),
    # An emulator or a private endpoint: the account is the first part of the path.
    re.compile(
        r"(?P<endpoint>https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?/(?P<account>[a-z0-9]{3,24}))/(?P<container>[^/?]+)"
        r"(?:/(?P<prefix>[^?]*))?(?:\?(?P<signature>.*))?$"
    ),
)
SCHEMES = ("az", "https", "http", "abfss", "abfs", "wasbs", "wasb")
EXAMPLE_URI = "az://ACCOUNT/CONTAINER/PREFIX"


@dataclass(frozen=True)
class BlobLocation:
    """Hold where blobs are: `endpoint` is the account's address, `prefix` is empty or ends with a slash."""

    endpoint: str
    account: str
    container: str
    prefix: str

    @property
    def root(self) -> str:
        """The address of the container; a blob's path is this and its name, unescaped."""
        return f"{self.endpoint}/{self.container}/"

    @property
    def host(self) -> str:
        """The account's name in the cloud; an emulator's too, for file systems that know no other form."""
        host = self.endpoint.partition("://")[2]
        return f"{self.account}.{DEFAULT_CLOUD_SUFFIX}" if "/" in host else host

    @property
    def is_emulator(self) -> bool:
        return self.account == EMULATOR_ACCOUNT

    def to_hadoop_uri(self, scheme: str) -> str:
        """Give the address as Hadoop's file systems read it, without a slash at its end."""
        host = self.host.replace(".blob.", ".dfs.", 1) if scheme.startswith("abfs") else self.host
        return f"{scheme}://{self.container}@{host}/{self.prefix}".rstrip("/")


def is_azure_uri(address: str) -> bool:
    """Say whether an address is of Blob Storage, by its scheme."""
    return address.partition("://")[0] in SCHEMES and "://" in address


def parse_blob_uri(address: str) -> tuple[BlobLocation, str | None]:
    """Give the place, and the signature (SAS) that the address brought along. All spellings of one place are one.

    A prefix in an https address is unescaped, as browsers and the portal escape it; in the others it is as stored.
    Raises DataError for anything else, without repeating what stands after the question mark.
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
                raise DataError(f"sources.images = {address.partition('?')[0]}: {fault}. Write the address without it.")
            prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            return BlobLocation(endpoint, parts["account"], parts["container"], prefix), parts.get("signature")
    raise DataError(f"sources.images = {address.partition('?')[0]}: no container is named. Write {EXAMPLE_URI}.")


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine itself, by its name or number."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def require_known_host(location: BlobLocation, extra_hosts: Collection[str]) -> None:
    """Raise AccessError unless the place may be shown credentials: keys, signatures and tokens of any kind.

    Those are Blob Storage in the clouds of Azure, this machine, and `hosts`, of which one that begins with a dot
    stands for all below it. Over plain http only this machine is.
    """
    parts = urlsplit(location.endpoint)
    host = parts.hostname or ""
    if is_loopback(host):
        return
    hosts_of_azure = [f".{service}.{cloud}" for service in ("blob", "dfs") for cloud in CLOUDS]
    if not any(
        host == allowed or (allowed.startswith(".") and host.endswith(allowed))
        for allowed in (*hosts_of_azure, *extra_hosts)
    ):
        raise AccessError(
            f"{location.root} is shown no credentials: {host} is no host of Azure Blob Storage. If it may have yours, "
            f"name it: IRBIS_AZURE__HOSTS={host} or --set azure.hosts={host}."
        )
    if parts.scheme != "https":
        raise AccessError(
            f"{location.root} is shown no credentials: they travel over https, and over http on this machine alone. "
            f"Write https://{location.root.partition('://')[2]}."
        )


def to_hadoop_uri(address: str) -> str:
    """Give an address of any spelling as Spark opens it, without a slash at its end; what is not Azure's unchanged.

    Raises ValueError for one that names no container, holds a signature, or is of an emulator where Hadoop's file
    system does not look for it.
    """
    if not is_azure_uri(address):
        return address
    try:
        location, signature = parse_blob_uri(address)
    except DataError as error:
        raise ValueError(f"no container is named; write {EXAMPLE_URI}") from error
    if signature:
        raise ValueError("it holds a signature, which would be stored with every path; give that as azure.sas")
    scheme = address.partition("://")[0]
    if not location.is_emulator:
        if "/" in location.endpoint.partition("://")[2]:
            raise ValueError(
                f"tables can be written to accounts at {DEFAULT_CLOUD_SUFFIX} and to the emulator, no other host"
            )
        return location.to_hadoop_uri(scheme if scheme.startswith(("abfs", "wasb")) else "abfss")
    if location.endpoint != _build_endpoint(EMULATOR_ACCOUNT, DEFAULT_CLOUD_SUFFIX):
        raise ValueError(f"an emulator is looked for at 127.0.0.1:{EMULATOR_PORT} only")
    return location.to_hadoop_uri("wasb")


def _build_endpoint(account: str, host: str) -> str:
    return (
        f"http://127.0.0.1:{EMULATOR_PORT}/{EMULATOR_ACCOUNT}"
        if account == EMULATOR_ACCOUNT
        else f"https://{account}.{host}"
    )
