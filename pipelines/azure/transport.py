"""Send one request to Azure once, within a time limit; a transient failure is a TransientError.

The SDK's own retries wait up to a minute, ignore Retry-After, never retry a 429, and give a stalled body three times
its read timeout. `azure.retry` does it instead, so the SDK must never see such a response.
"""

from __future__ import annotations

from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from pipelines.azure import retry
from pipelines.azure.retry import TransientError


class NoRetryTransport(RequestsTransport):
    """A transport that sends each request once; `threads` is the number of threads that share it."""

    def __init__(self, threads: int, **options: Any):
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=threads, max_retries=0))
        super().__init__(
            session=session,
            session_owner=False,
            connection_timeout=retry.CONNECT_TIMEOUT,
            read_timeout=retry.READ_TIMEOUT,
            **options,
        )

    def send(self, request: Any, **options: Any) -> Any:
        try:
            response = super().send(request, **options)
        except AzureError as error:
            raise TransientError(retry.describe_error(error)) from error
        except requests.RequestException as error:  # while reading the body, where the SDK does not convert errors
            raise TransientError(retry.describe_error(error)) from error
        try:
            retry.raise_if_transient(response.status_code, response.reason, response.headers)
        except TransientError:
            response.internal_response.close()
            raise
        return response
