"""What a secret is, and how what holds one is printed."""

from __future__ import annotations

import re

import pytest

from pipelines.redaction import SECRET_PATTERN, is_secret, redact


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            "https://a.blob.core.windows.net/c?sv=1&sig=ab%3D&se=2",
            "https://a.blob.core.windows.net/c?sv=1&sig=***&se=2",
        ),
        ("postgresql://user:p@ss/w@host/db", "postgresql://user:***@host/db"),
        ("AccountName=a;AccountKey=ab==;EndpointSuffix=x", "AccountName=a;AccountKey=***;EndpointSuffix=x"),
        ("https://host/?access_token=abc", "https://host/?access_token=***"),
        ({"fs.azure.account.key.a": "abc", "spark.ui.port": 1}, {"fs.azure.account.key.a": "***", "spark.ui.port": 1}),
        ({"spark.x": "jdbc:h2://u:pw@h"}, {"spark.x": "jdbc:h2://u:***@h"}),
        ("C:/images/design=1", "C:/images/design=1"),
        ("folder:2", "folder:2"),
        (None, None),
        (
            '{"spark.x.password": "a b", "y": [{"token": 1}], "z": 1}',
            '{"spark.x.password": "***", "y": [{"token": "***"}], "z": 1}',
        ),
        ('{"spark.x.password": "a"b"}', "***"),
        ('{"spark.y": "a"b"}', '{"spark.y": "a"b"}'),
        ("[secretary bird, leopard]", "[secretary bird, leopard]"),
        ({"a": {"b": [{"client_secret": 12}]}}, {"a": {"b": [{"client_secret": "***"}]}}),
        ("-Djavax.net.ssl.keyStorePassword=abc -Dx=1", "-Djavax.net.ssl.keyStorePassword=*** -Dx=1"),
        ("BlobEndpoint=x;SharedAccessSignature=sv=1&sig=abc", "BlobEndpoint=x;SharedAccessSignature=***&sig=***"),
        ("hdinsight.password: abc", "hdinsight.password: ***"),
        ({"azure.sas": "{{secrets/irbis/sas}}"}, {"azure.sas": "{{secrets/irbis/sas}}"}),
        ({"spark.hadoop.fs.azure.account.key.x": "${env.KEY}"}, {"spark.hadoop.fs.azure.account.key.x": "${env.KEY}"}),
    ],
)
def test_secrets_do_not_print(value, shown):
    assert redact(value) == shown


SECRETS = (
    "azure.account_key", "azure.sas", "azure.connection_string", "hdinsight.password", "AZURE_STORAGE_SAS_TOKEN",
    "fs.azure.account.key.x.dfs.core.windows.net", "fs.azure.sas.c.x", "spark.authenticate.secret", "fs.s3a.access.key",
    "spark.ssl.keyPassword", "apiKey", "fs.azure.account.oauth2.client.secret", "DB_PASSWD", "private_key",
)  # fmt: skip
OPEN = (
    "train.class_weights", "kansas", "azure.hosts", "sources.images", "spark.authenticate.secret.file",
    "spark.kubernetes.driver.secretKeyRef.IRBIS_AZURE__SAS", "spark.kubernetes.executor.secrets.reader",
    "fs.s3a.aws.credentials.provider", "spark.kubernetes.authenticate.driver.oauthTokenFile",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_a_secret_for_us_is_one_for_spark(name):
    assert is_secret(name) and is_secret(name, 1234) and re.search(SECRET_PATTERN, name)
    assert not any(is_secret(name, value) for value in (None, "", True, "false", "{{secrets/a/b}}", "${env.KEY}"))


@pytest.mark.parametrize("name", OPEN)
def test_what_only_says_where_a_secret_is_is_none(name):
    assert not is_secret(name)
