"""A container behind a faulty proxy: what is retried, and what is reported."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pipelines.azure.retry import RetryPolicy
from pipelines.config.loader import load_settings
from pipelines.errors import ImageError
from pipelines.sources.registry import Source, open_source
from tests.azurite import ACCOUNT, KEY
from tests.fault_proxy import FaultProxy, fault_proxy

from .test_azure_blob import put


def through(proxy: FaultProxy, container: Any) -> Source:
    """Open the container through a proxy."""
    address = f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}"
    return open_source(load_settings(None, {"sources.images": address, "azure.account_key": KEY}))


def _answer_after_first_429(proxy: FaultProxy) -> None:
    while not proxy.met["429"]:
        time.sleep(0.01)
    proxy.share = 0.0


@pytest.mark.parametrize("fault", ["503", "429", "cut", "reset", "stall", "corrupt"])
def test_a_fault_is_met_by_asking_again(container, azurite, monkeypatch, fault):
    monkeypatch.setattr("pipelines.azure.retry.READ_TIMEOUT", 0.3)
    put(container, "1.jpg")
    with fault_proxy(azurite.port, 0.0, (fault,)) as proxy:
        source = through(proxy, container)
        (blob,) = source.list()
        proxy.share = 1.0
        threading.Timer(0.2, setattr, (proxy, "share", 0.0)).start()
        assert source.fetch(blob.path, blob.etag) == b"1.jpg"
        assert proxy.met[fault] >= 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503", "503 Service Unavailable"),
        ("429", "429 Too Many Requests"),
        ("cut", "2 of 5 bytes|connection closed early"),
        ("reset", "connection reset|connection closed early"),
        ("stall", "timed out"),
        ("drip", "too slow"),
        ("corrupt", "the bytes do not match their MD5"),
    ],
)
def test_what_stays_broken_is_reported_with_its_reason(container, azurite, monkeypatch, fault, reason):
    monkeypatch.setattr("pipelines.azure.retry.READ_TIMEOUT", 0.3)
    monkeypatch.setattr("pipelines.azure.retry.BASE_DEADLINE", 0.5)
    monkeypatch.setattr("pipelines.sources.stores.azure_blob.BACKGROUND_RETRY", RetryPolicy(tries=2, first_wait=0.01))
    put(container, "1.jpg")
    with fault_proxy(azurite.port, 0.0, (fault,)) as proxy:
        source = through(proxy, container)
        (blob,) = source.list()
        proxy.share = 1.0
        with pytest.raises(ImageError, match=rf"unavailable: ({reason}).*, 2 times in \d+ s"):
            source.fetch(blob.path, blob.etag)
        assert proxy.met[fault] == 2


def test_the_wait_that_a_throttling_account_asks_for_is_kept(container, azurite):
    put(container, "1.jpg")
    with fault_proxy(azurite.port, 0.0, ("429",)) as proxy:
        source = through(proxy, container)
        (blob,) = source.list()
        proxy.share = 1.0
        threading.Thread(target=_answer_after_first_429, args=(proxy,)).start()
        start = time.monotonic()
        assert source.fetch(blob.path, blob.etag) == b"1.jpg"
        assert time.monotonic() - start >= 1.0  # Retry-After: 1
        assert proxy.met["429"] == 1
