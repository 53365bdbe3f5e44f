"""Pages of a container listing, from a server that returns what Azurite cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.azure.credentials import Credential
from pipelines.azure.retry import RetryPolicy
from pipelines.azure_uri import BlobLocation
from pipelines.errors import AccessError
from pipelines.sources.stores.azure_blob import AzureBlobs
from tests.http_server import Quiet, Server, serving

BLOB = (
    "<Blob><Name{}>{}</Name><Properties><Last-Modified>Tue, 04 Jun 2024 06:15:22 GMT</Last-Modified>"
    "<Etag>0x8DC</Etag><Content-Length>7</Content-Length><Content-MD5>{}</Content-MD5></Properties></Blob>"
)


class Pages(Server):
    """A server that returns `answers`, bodies or statuses, one per request; `queries` records the queries."""

    def __init__(self, *answers: str | int):
        super().__init__(_Handler)
        self.answers, self.queries = iter(answers), list[dict[str, list[str]]]()

    def source(self) -> AzureBlobs:
        place = BlobLocation(f"http://127.0.0.1:{self.server_port}/account", "account", "survey", "")
        return AzureBlobs(place, Credential("SAS", "a test", "sig=secret"), 2, RetryPolicy(tries=2, first_wait=0.01))


class _Handler(Quiet):
    server: Pages

    def do_GET(self) -> None:
        self.server.queries.append(parse_qs(urlsplit(self.path).query))
        answer = next(self.server.answers)
        self.send_response(answer if isinstance(answer, int) else 200)
        self.send_header("x-ms-error-code", "AuthorizationFailure")
        self.end_headers()
        self.wfile.write(answer.encode() if isinstance(answer, str) else b"")


def page(*blobs: str, marker: str = "") -> str:
    return f"<EnumerationResults><Blobs>{''.join(blobs)}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"


@pytest.fixture
def answering() -> Iterator[Callable[..., Pages]]:
    """Return a function that starts a server with the given answers."""
    with ExitStack() as running:
        yield lambda *answers: running.enter_context(serving(Pages(*answers)))


def test_a_name_that_xml_cannot_hold_comes_escaped(answering):
    pages = answering(page(BLOB.format(' Encoded="true"', "a%EF%BF%BE b.jpg", ""), BLOB.format("", "%41.jpg", "AAEC")))
    escaped, plain = pages.source().list()
    assert escaped.relative_path == "a\ufffe b.jpg" and escaped.md5 is None
    assert plain.path == f"{pages.source().root}%41.jpg"
    assert (plain.size, plain.etag, plain.md5) == (7, "0x8DC", b"\0\1\2")
    assert plain.modified_at == datetime(2024, 6, 4, 6, 15, 22, tzinfo=timezone.utc)


def test_blobs_that_stand_for_folders_are_no_files(answering):
    directory = BLOB.replace("<Properties>", "<Properties><ResourceType>directory</ResourceType>").format("", "fox", "")
    pages = answering(page(directory, BLOB.format("", "fox/", ""), BLOB.format("", "fox/1.jpg", "")))
    assert [blob.relative_path for blob in pages.source().list()] == ["fox/1.jpg"]


def test_the_marker_of_a_page_asks_for_the_next(answering):
    pages = answering(page(BLOB.format("", "1.jpg", ""), marker="a&amp;b/1"), page(BLOB.format("", "2.jpg", "")))
    assert [blob.relative_path for blob in pages.source().list()] == ["1.jpg", "2.jpg"]
    assert [query.get("marker") for query in pages.queries] == [None, ["a&b/1"]]


@pytest.mark.parametrize("bad", ["<html>a proxy's own page", "<html/>", "", 503])
def test_a_page_that_cannot_be_read_is_asked_for_again(answering, bad):
    pages = answering(bad, page(BLOB.format("", "1.jpg", "")))
    assert [blob.relative_path for blob in pages.source().list()] == ["1.jpg"]
    assert len(pages.queries) == 2


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((503, 503), "503 Service Unavailable, 2 times"),
        (("", ""), "the list cannot be read"),
        ((403,), "AuthorizationFailure"),
    ],
)
def test_a_list_that_ends_early_is_an_error_and_no_shorter_list(answering, answers, message):
    pages = answering(page(BLOB.format("", "1.jpg", ""), marker="2"), *answers)
    with pytest.raises(AccessError, match=f"cannot be listed completely .*{message}"):
        list(pages.source().list())
