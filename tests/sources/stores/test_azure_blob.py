"""A container of a real Azurite as a source: names, versions, credentials, and what is sent to executors."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import time
import unicodedata
from typing import Any

import pytest

from pipelines.azure import credentials
from pipelines.azure.container import check_access
from pipelines.config.loader import load_settings
from pipelines.errors import AccessError, DataError, ImageError
from pipelines.sources.registry import Source, open_source
from tests.azurite import ACCOUNT, KEY, put_raw

WRONG_KEY = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU="
NFC, NFD = "Jaguar\u00e9.jpg", unicodedata.normalize("NFD", "Jaguar\u00e9.jpg")
ODD = [" a b.jpg", "#1.jpg", "%20.jpg", "a?b.jpg", "a+b.jpg", "/lead.jpg", "dot.", ".hidden.jpg", "_2.jpg", NFC, NFD]


@pytest.fixture(autouse=True)
def _no_credentials_of_whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in credentials.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def put(container: Any, *names: str) -> None:
    for name in names:
        container.upload_blob(name, name.encode(), overwrite=True)


def opened(container: Any, prefix: str = "", **settings: Any) -> Source:
    """Open the container by its URI, with the account key by default."""
    given = settings or {"azure.account_key": KEY}
    return open_source(load_settings(None, {"sources.images": f"{container.url}/{prefix}", **given}))


def signature(container: Any, **permissions: bool) -> str:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(**permissions),
        expiry="2099-01-01",
    )


def test_a_listed_blob_has_its_path_size_time_and_bytes(container):
    put(container, "a b/c.jpg")
    source = opened(container)
    (blob,) = source.list()
    assert blob.path == f"{container.url}/a b/c.jpg"
    assert (blob.relative_path, blob.size) == ("a b/c.jpg", 9)
    assert abs(blob.modified_at.timestamp() - time.time()) < 60
    assert source.fetch(blob.path, blob.etag) == b"a b/c.jpg"


def test_odd_names_are_listed_and_fetched_as_they_are(container):
    put(container, *ODD, *(f"folder/{name}" for name in ODD))
    source = opened(container)
    blobs = list(source.list())
    assert sorted(blob.relative_path for blob in blobs) == sorted([*ODD, *(f"folder/{name}" for name in ODD)])
    assert [source.fetch(blob.path, blob.etag).decode() for blob in blobs] == [blob.relative_path for blob in blobs]
    assert [blob.path for blob in blobs] == [f"{container.url}/{blob.relative_path}" for blob in blobs]


def test_a_name_with_dot_segments_is_a_problem_and_never_read_from_another_container(azurite, container):
    from azure.storage.blob import ContainerClient

    other = ContainerClient.from_connection_string(azurite.connection_string, f"{container.container_name[:40]}-other")
    other.create_container()
    other.upload_blob("secret.jpg", b"secret")
    name = f"../{other.container_name}/secret.jpg"
    for address in (name.replace(".", "%2E"), "a/b/%2e%2e/x.jpg", "a/%2E/y.jpg", "c%5C%2E%2E%5Cz.jpg"):
        put_raw(container, address, b"mine")
    put(container, "1.jpg", "a/..2.jpg")
    source = opened(container)
    assert sorted(blob.relative_path for blob in source.list()) == ["1.jpg", "a/..2.jpg"]
    refused = [(name, ".."), ("a/./y.jpg", "."), ("a/b/../x.jpg", ".."), ("c/../z.jpg", "..")]
    for problem, (path, segment) in zip(sorted(source.problems), refused, strict=True):
        assert problem.startswith(f"{container.url}/{path}: ") and repr(segment) in problem
    with pytest.raises(ImageError) as caught:
        source.fetch(f"{source.root}{name}", "")
    assert caught.value.failure == "forbidden" and "'..'" in caught.value.detail
    for path in (name, "..\\x.jpg"):
        with pytest.raises(ImageError) as caught:
            source.put(path, b"x", b"", "image/jpeg")
        assert caught.value.failure == "forbidden"
    assert other.download_blob("secret.jpg").readall() == b"secret"


@pytest.mark.parametrize(
    "address",
    ["az://account/../other/a", "az://account/one/a/../b", "https://account.blob.core.windows.net/one/%2e%2e/two"],
)
def test_an_address_with_dot_segments_is_refused(address):
    with pytest.raises(DataError, match="Write the URI without it"):
        open_source(load_settings(None, {"sources.images": address, "azure.account_key": KEY}))


def test_only_what_lies_below_the_prefix_is_listed(container):
    put(container, "s/1.jpg", "s/deep/er/2.jpg", "s2/3.jpg", "4.jpg")
    source = opened(container, "s")
    assert {blob.relative_path for blob in source.list()} == {"1.jpg", "deep/er/2.jpg"}
    assert source.root == f"{container.url}/s/"


def test_many_folders_and_pages_are_listed_whole(container, monkeypatch):
    monkeypatch.setattr("pipelines.azure.listing.PAGE_SIZE", 2)
    names = {f"{folder:02}/{number}.jpg" for folder in range(19) for number in range(folder % 6)} | {"top.jpg"}
    put(container, *names)
    listed = [blob.relative_path for blob in opened(container).list()]
    assert len(listed) == len(names) and set(listed) == names


def test_an_empty_container_lists_nothing(container):
    assert list(opened(container).list()) == []


def test_what_was_overwritten_or_deleted_after_the_listing_is_reported(container):
    put(container, "1.jpg", "2.jpg")
    source = opened(container)
    first, second = source.list()
    put(container, "1.jpg")
    container.delete_blob("2.jpg")
    for blob, failure in ((first, "changed"), (second, "vanished")):
        with pytest.raises(ImageError) as caught:
            source.fetch(blob.path, blob.etag)
        assert caught.value.failure == failure


def test_a_blob_without_bytes_and_one_of_many_blocks_are_fetched(container):
    container.upload_blob("0.jpg", b"")
    large = bytes(range(256)) * 4096 * 9  # 9 MB
    block = container.get_blob_client("large.jpg")
    block.stage_block("a", large[: 2**22])
    block.stage_block("b", large[2**22 :])
    from azure.storage.blob import BlobBlock

    block.commit_block_list([BlobBlock("a"), BlobBlock("b")])
    source = opened(container)
    contents = {blob.relative_path: source.fetch(blob.path, blob.etag) for blob in source.list()}
    assert contents["0.jpg"] == b""
    assert hashlib.sha256(contents["large.jpg"]).digest() == hashlib.sha256(large).digest()


@pytest.mark.parametrize("way", ["key", "connection string", "SAS", "address", "AZURE_STORAGE_CONNECTION_STRING"])
def test_every_credential_opens_the_container(container, azurite, monkeypatch, way):
    put(container, "1.jpg")
    readable = signature(container, read=True, list=True)
    address = f"{container.url}/{f'?{readable}' if way == 'address' else ''}"
    given = {
        "key": {"azure.account_key": KEY},
        "connection string": {"azure.connection_string": azurite.connection_string},
        "SAS": {"azure.sas": f"?{readable}"},
    }.get(way, {})
    if way.startswith("AZURE"):
        monkeypatch.setenv(way, azurite.connection_string)
    source = open_source(load_settings(None, {"sources.images": address, **given}))
    (blob,) = source.list()
    assert blob.path == f"{container.url}/1.jpg"
    there = pickle.loads(pickle.dumps(source))
    assert there.fetch(blob.path, blob.etag) == b"1.jpg"


def test_only_a_reading_signature_travels_to_executors(container, azurite):
    put(container, "1.jpg")
    source = opened(container)
    travelling = pickle.dumps(source)
    assert KEY.encode() not in travelling
    there = pickle.loads(travelling)
    assert "sp=r&" in there.credential.secret
    with pytest.raises(AccessError, match=r"rejects the SAS of azure.account_key \(signed for reading\)"):
        check_access(there.location, there.credential)
    assert KEY not in repr(source) and "sig=" not in repr(there)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"azure.account_key": WRONG_KEY},
            r"rejects the account key of azure.account_key \(AuthorizationFailure.* account's firewall\.$",
        ),
        ({"azure.account_key": "no base64!"}, "account key of azure.account_key: an account key is Base64"),
        ({"azure.sas": "sv=2020&sp=r"}, "SAS of azure.sas: a SAS contains `sig=`"),
        (
            {"azure.connection_string": "AccountName=other;AccountKey=eA=="},
            "belongs to account other, sources.im",
        ),
        ({"azure.connection_string": "AccountName=devstoreaccount1"}, "has neither AccountKey nor SharedAccessSig"),
    ],
)
def test_a_wrong_credential_is_reported_and_never_shown(container, given, message):
    with pytest.raises(AccessError, match=message) as caught:
        opened(container, **given)
    assert not any(str(value) in str(caught.value) for value in given.values())


def test_without_a_credential_the_error_names_what_was_tried(container):
    with pytest.raises(AccessError) as caught:
        open_source(load_settings(None, {"sources.images": container.url}))
    assert "AZURE_STORAGE_KEY" in str(caught.value) and "az login" in str(caught.value)


def test_a_container_that_is_not_there_and_a_host_that_does_not_answer_are_reported(azurite, container):
    with pytest.raises(AccessError, match=r"There is no container nowhere in http://127.*ContainerNotFound"):
        open_source(load_settings(None, {"sources.images": f"{azurite.endpoint}/nowhere", "azure.account_key": KEY}))
    with pytest.raises(AccessError, match=r"127.0.0.1:1/devstoreaccount1 cannot be reached \(connection refused"):
        address = "http://127.0.0.1:1/devstoreaccount1/images"
        open_source(load_settings(None, {"sources.images": address, "azure.account_key": KEY}))


def test_signatures_are_in_no_log_though_everything_is_logged(container):
    put(container, "1.jpg")
    secret = signature(container, read=True, list=True)
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler), root.setLevel(logging.DEBUG)
    try:
        source = opened(container, **{"azure.sas": secret})
        (blob,) = source.list()
        source.fetch(blob.path, blob.etag)
    finally:
        root.removeHandler(handler), root.setLevel(level)
    lines = text.getvalue()
    assert "GET /" in lines and "sig=***" in lines
    assert secret.partition("sig=")[2].partition("&")[0] not in lines


def test_an_address_without_a_container_is_refused():
    with pytest.raises(DataError, match=r"az://account: no container is named. Write az://ACCOUNT/CONTAINER/PREFIX"):
        open_source(load_settings(None, {"sources.images": "az://account"}))
