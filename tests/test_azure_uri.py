"""All spellings of a container's URI."""

from __future__ import annotations

import pytest

from pipelines.azure_uri import BlobLocation, parse_blob_uri, to_hadoop_uri
from pipelines.errors import DataError

CLOUD = BlobLocation("https://irbis1.blob.core.windows.net", "irbis1", "images", "2024/S 1/")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("az://irbis1/images/2024/S 1", CLOUD),
        ("az://irbis1/images/2024/S 1/", CLOUD),
        ("https://irbis1.blob.core.windows.net/images/2024/S%201", CLOUD),
        ("https://irbis1.dfs.core.windows.net/images/2024/S 1", CLOUD),
        ("abfss://images@irbis1.dfs.core.windows.net/2024/S 1", CLOUD),
        ("wasbs://images@irbis1.blob.core.windows.net/2024/S 1/", CLOUD),
        ("az://irbis1/images/100%25", BlobLocation(CLOUD.endpoint, "irbis1", "images", "100%25/")),
        ("az://irbis1/images", BlobLocation(CLOUD.endpoint, "irbis1", "images", "")),
        ("az://irbis1/$web/x", BlobLocation(CLOUD.endpoint, "irbis1", "$web", "x/")),
        (
            "https://irbis1.blob.core.chinacloudapi.cn/images/",
            BlobLocation("https://irbis1.blob.core.chinacloudapi.cn", "irbis1", "images", ""),
        ),
        (
            "http://127.0.0.1:10000/devstoreaccount1/images/a",
            BlobLocation("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", "images", "a/"),
        ),
    ],
)
def test_every_spelling_leads_to_the_place(address, place):
    assert parse_blob_uri(address) == (place, None)


def test_a_signature_is_taken_off_the_address():
    place, signature = parse_blob_uri("https://irbis1.blob.core.windows.net/images/a?sv=1&sig=abc%3D")
    assert place.root + place.prefix == "https://irbis1.blob.core.windows.net/images/a/"
    assert signature == "sv=1&sig=abc%3D"


@pytest.mark.parametrize("address", ["az://irbis1", "az:///x", "https://example.org", "abfss://irbis1/x", "az://UP/c"])
def test_what_names_no_container_is_refused(address):
    with pytest.raises(DataError, match="no container is named"):
        parse_blob_uri(f"{address}?sig=hidden")
    with pytest.raises(DataError) as caught:
        parse_blob_uri(f"{address}?sig=hidden")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "spark"),
    [
        ("az://irbis1/c/w x/", "abfss://c@irbis1.dfs.core.windows.net/w x"),
        ("https://irbis1.blob.core.windows.net/c", "abfss://c@irbis1.dfs.core.windows.net"),
        ("wasbs://c@irbis1.blob.core.windows.net/w/", "wasbs://c@irbis1.blob.core.windows.net/w"),
        ("abfss://c@irbis1.dfs.core.chinacloudapi.cn/w", "abfss://c@irbis1.dfs.core.chinacloudapi.cn/w"),
        ("http://127.0.0.1:10000/devstoreaccount1/c/w", "wasb://c@devstoreaccount1.blob.core.windows.net/w"),
        ("az://devstoreaccount1/c/w", "wasb://c@devstoreaccount1.blob.core.windows.net/w"),
        ("dbfs:///w", "dbfs:///w"),
        ("some/folder", "some/folder"),
    ],
)
def test_a_workspace_is_written_as_spark_opens_it(address, spark):
    assert to_hadoop_uri(address) == spark
    assert to_hadoop_uri(spark) == spark


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("az://irbis1", "no container is named"),
        ("https://irbis1.blob.core.windows.net/c/w?sig=hidden", "it contains a SAS"),
        ("http://127.0.0.1:10001/devstoreaccount1/c/w", "only supported at 127.0.0.1:10000"),
        ("https://storage.example.org/irbis1/c/w", "can only be written to accounts at"),
    ],
)
def test_a_workspace_that_spark_could_not_open_is_refused(address, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        to_hadoop_uri(address)
    assert "hidden" not in str(caught.value)
