"""A lease on the blob `.lock` of a workspace, which one process at a time can have; its metadata name the holder."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from datetime import datetime, timezone
from threading import Event
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobLeaseClient

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
            permit_redirects=False,  # credentials would go along
        )
        # Its own id makes a request whose answer was lost the same when it is repeated.
        self._lease = BlobLeaseClient(self._blob, str(uuid.uuid4()))

    def acquire(self) -> None:
        """Take the lease and note who has it."""
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
            if _code(error) == LEASE_CONFLICT_CODE:
                raise PlatformError(self._describe_holder()) from error
            raise AccessError(
                f"workspace = {self.workspace}: the blob {BLOB_NAME} cannot be leased ({_code(error)}). Give a credential "
                "that may write: azure.account_key, azure.sas or azure.connection_string."
            ) from error

    def renew_until(self, stop: Event) -> None:
        """Renew the lease until `over`, or until it is another's: `require` then says so before the next commit."""
        while not stop.wait(DURATION / 4):
            try:
                self._lease.renew()
            except TransientError:
                continue  # the next time is soon enough
            except HttpResponseError:
                return

    def require_held(self) -> None:
        """Renew the lease, which succeeds even after its end if nobody else took it; raise PlatformError otherwise."""
        try:
            RetryPolicy().call(self._lease.renew)
        except TransientError as error:
            raise PlatformError(
                f"The lease on {self.workspace} cannot be renewed ({error}), so another run may work there by now. "
                "Nothing more was written. Run again: it goes on from the last commit."
            ) from error
        except HttpResponseError as error:
            raise PlatformError(
                f"The lease on {self.workspace} was lost ({_code(error)}): this machine could not renew it in time and "
                "another run works there, or somebody broke it. Nothing more was written. Run again when the other "
                "has ended: it goes on from the last commit."
            ) from error

    def release(self) -> None:
        """Give the lease back; one that cannot be given back, or was lost, ends by itself."""
        with suppress(TransientError, HttpResponseError):
            ACQUIRE_RETRY.call(self._lease.release)

    def _acquire(self) -> None:
        self._lease.acquire(lease_duration=DURATION)

    def _create(self) -> None:
        try:
            self._blob.upload_blob(b"", overwrite=False)
        except HttpResponseError as error:
            if error.status_code not in (409, 412):  # another run made it, and may have leased it
                raise

    def _describe_holder(self) -> str:
        """Say who holds the workspace, as far as the blob tells, and what to do."""
        metadata: dict[str, str] = {}
        with suppress(TransientError, HttpResponseError):  # then it is not known who
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
    host = socket.gethostname().encode("ascii", "replace").decode()  # metadata travel as headers
    return {"process": str(os.getpid()), "host": host, "since": since}


def _code(error: Any) -> str:
    code = getattr(error, "error_code", None) or getattr(error, "reason", None) or type(error).__name__
    return str(getattr(code, "value", code))
