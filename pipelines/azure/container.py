"""Create the SDK's container client, once per process, and check its access."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any

from pipelines.azure.credentials import Credential, redact_sas_in_logs
from pipelines.azure.retry import RetryPolicy, TransientError
from pipelines.azure_uri import EXAMPLE_URI, BlobLocation
from pipelines.errors import AccessError

INTERACTIVE_RETRY = RetryPolicy(tries=2, first_wait=0.2, deadline_seconds=4)  # the user waits
CLIENT_LOCK = Lock()


def check_access(location: BlobLocation, credential: Credential, threads: int = 1) -> None:
    """Raise AccessError if the container cannot be listed."""
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    pages = (
        container_client(location, credential, threads)
        .list_blobs(name_starts_with=location.prefix, results_per_page=1)
        .by_page()
    )
    try:
        INTERACTIVE_RETRY.call(lambda: next(pages, None))
    except TransientError as error:
        endpoint = location.endpoint
        raise AccessError(f"{endpoint} cannot be reached ({error}). Check the spelling of {EXAMPLE_URI}.") from error
    except ResourceNotFoundError as error:
        raise AccessError(
            f"There is no container {location.container} in {location.endpoint} ({error_code(error)})."
        ) from error
    except HttpResponseError as error:
        code = error_code(error)
        # Azure also returns this code to IP addresses that the account's network rules exclude.
        hint = " Or allow this machine's IP address in the account's firewall." if "AuthorizationFail" in code else ""
        raise AccessError(
            f"{location.root} rejects the {credential!r} ({code}). Provide a credential that may list and read: "
            f"azure.account_key, azure.sas, azure.connection_string, or the role Storage Blob Data Reader.{hint}"
        ) from error


def container_client(location: BlobLocation, credential: Credential, threads: int) -> Any:
    """Return a client that many threads can share."""
    with CLIENT_LOCK:  # otherwise each of a worker's first threads would create its own
        return _client(location.endpoint, location.account, location.container, credential, threads)


@lru_cache(4)
def _client(endpoint: str, account: str, container: str, credential: Credential, threads: int) -> Any:
    """Return a client that many threads can share; cached so that connections stay open."""
    from azure.storage.blob import ContainerClient

    from pipelines.azure.transport import NoRetryTransport

    redact_sas_in_logs()
    return ContainerClient(
        endpoint,
        container,
        credential=credential.for_client(account),
        transport=NoRetryTransport(threads),
        permit_redirects=False,  # a redirect would receive the credentials
    )


def error_code(error: Any) -> str:
    """Return Azure's error code; the error text may repeat what was sent."""
    code = getattr(error, "error_code", None) or getattr(error, "reason", None) or type(error).__name__
    return str(getattr(code, "value", code))
