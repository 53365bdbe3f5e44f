"""A lease on the blob `.lock` of a workspace: one process at a time holds it; the blob metadata names the holder."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from datetime import datetime, timezone
from threading import Event

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobLeaseClient

from pipelines.azure.container import error_code
from pipelines.azure.credentials import redact_sas_in_logs
from pipelines.azure.hadoop import workspace_credential
from pipelines.azure.retry import RetryPolicy, TransientError
from pipelines.azure.transport import NoRetryTransport
from pipelines.azure_uri import parse_blob_uri
from pipelines.config.settings import Settings
from pipelines.errors import AccessError, PlatformError

BLOB_NAME = ".lock"
DURATION = 60  # seconds; Azure allows 15 to 60
ACQUIRE_RETRY = RetryPolicy(tries=2, first_wait=0.2, deadline_seconds=4)  # the user waits
LEASE_CONFLICT_CODE = "LeaseAlreadyPresent"


class Lease:
    """A lease on the blob `.lock` of a workspace."""

    def __init__(self, workspace: str, settings: Settings):
        location, _ = parse_blob_uri(workspace)
        credential = workspace_credential(settings, location)
        redact_sas_in_logs()
        self.workspace = workspace
        self._blob = BlobClient(
            location.endpoint,
            location.container,
            f"{location.prefix}{BLOB_NAME}",
            credential=credential.for_client(location.account),
            transport=NoRetryTransport(2),
            permit_redirects=False,  # a redirect would receive the credentials
        )
        # With a fixed lease id, a repeated request is idempotent if the first response was lost.
        self._lease = BlobLeaseClient(self._blob, str(uuid.uuid4()))

    def acquire(self) -> None:
        """Acquire the lease and record its holder in the blob metadata."""
        try:
            try:
                ACQUIRE_RETRY.call(self._acquire)
            except ResourceNotFoundError:
                ACQUIRE_RETRY.call(self._create)
                ACQUIRE_RETRY.call(self._acquire)
            ACQUIRE_RETRY.call(lambda: self._blob.set_blob_metadata(_holder_metadata(), lease=self._lease))
        except TransientError as error:
            raise AccessError(f"workspace = {self.workspace} cannot be reached ({error}). Run again later.") from error
        except HttpResponseError as error:
            if error_code(error) == LEASE_CONFLICT_CODE:
                raise PlatformError(self._describe_holder()) from error
            raise AccessError(
                f"workspace = {self.workspace}: the blob {BLOB_NAME} cannot be leased ({error_code(error)}). Provide a "
                "credential that may write: azure.account_key, azure.sas or azure.connection_string."
            ) from error

    def renew_until(self, stop: Event) -> None:
        """Renew the lease until `stop` is set or the lease is lost, which `require_held` reports at the next commit."""
        while not stop.wait(DURATION / 4):
            try:
                self._lease.renew()
            except TransientError:
                continue  # the next renewal is early enough
            except HttpResponseError:
                return

    def require_held(self) -> None:
        """Renew the lease, even an expired one that nobody else acquired; raise PlatformError otherwise."""
        try:
            RetryPolicy().call(self._lease.renew)
        except TransientError as error:
            raise PlatformError(
                f"The lease on {self.workspace} cannot be renewed ({error}), so another run may hold it by now. "
                "Nothing more was written. Run again; the run resumes after the last commit."
            ) from error
        except HttpResponseError as error:
            raise PlatformError(
                f"The lease on {self.workspace} was lost ({error_code(error)}): this machine could not renew it in "
                "time and another run acquired it, or somebody broke it. Nothing more was written. Run again when the "
                "other run has ended; the run resumes after the last commit."
            ) from error

    def release(self) -> None:
        """Release the lease; one that cannot be released, or was lost, expires by itself."""
        with suppress(TransientError, HttpResponseError):
            ACQUIRE_RETRY.call(self._lease.release)

    def _acquire(self) -> None:
        self._lease.acquire(lease_duration=DURATION)

    def _create(self) -> None:
        try:
            self._blob.upload_blob(b"", overwrite=False)
        except HttpResponseError as error:
            if error.status_code not in (409, 412):  # another run created it, and may have leased it
                raise

    def _describe_holder(self) -> str:
        """Return a message with the holder of the workspace, from the blob metadata, and a remedy."""
        metadata: dict[str, str] = {}
        with suppress(TransientError, HttpResponseError):  # the holder is then unknown
            metadata = ACQUIRE_RETRY.call(self._metadata)
        process, host, since = (metadata.get(name, "?") for name in ("process", "host", "since"))
        return (
            f"Process {process} on {host} has been working in {self.workspace} since {since}. Wait for it, or choose "
            f"another --workspace. If it was killed, the workspace is free within {DURATION} seconds."
        )

    def _metadata(self) -> dict[str, str]:
        return dict(self._blob.get_blob_properties().metadata)


def _holder_metadata() -> dict[str, str]:
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    host = socket.gethostname().encode("ascii", "replace").decode()  # metadata is sent in HTTP headers
    return {"process": str(os.getpid()), "host": host, "since": since}
