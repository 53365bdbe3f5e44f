"""Configure Spark's Hadoop and MLflow for a workspace in Blob Storage."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyspark

from pipelines.azure.container import check_access
from pipelines.azure.credentials import Credential, find_credential
from pipelines.azure_uri import EMULATOR_KEY, BlobLocation, is_azure_uri, parse_blob_uri, require_known_host
from pipelines.config.settings import Settings
from pipelines.errors import AccessError

if TYPE_CHECKING:  # the CLI reads the workspace before it loads Spark
    from pyspark.sql import SparkSession


def artifact_root(workspace: str) -> str:
    """Return MLflow's artifact URI in the workspace; for Blob Storage MLflow only knows wasbs."""
    if is_azure_uri(workspace):
        location, _ = parse_blob_uri(workspace)
        return f"{location.to_hadoop_uri('wasbs')}/artifacts"
    if "://" in workspace:
        return f"{workspace.rstrip('/')}/artifacts"
    return (Path(workspace).expanduser().absolute() / "artifacts").as_uri()


def has_folder_markers(uri: str) -> bool:
    """Return whether Hadoop stores a marker blob for each folder below a URI, which MLflow takes for a file."""
    return is_azure_uri(uri)


def artifact_credentials_env(settings: Settings) -> dict[str, str]:
    """Return the environment variables with which MLflow accesses Blob Storage, from the settings; may be empty.

    MLflow only reads credentials from the environment; without them it uses DefaultAzureCredential itself. Raises
    AccessError for a host that must not receive credentials.
    """
    if not is_azure_uri(settings.workspace):
        return {}
    location, _ = parse_blob_uri(settings.workspace)
    require_known_host(location, settings.azure.hosts)
    azure = settings.azure.credentials
    if "connection_string" in azure:
        return {"AZURE_STORAGE_CONNECTION_STRING": azure["connection_string"]}
    key = azure.get("account_key") or os.environ.get("AZURE_STORAGE_KEY")
    signature = azure.get("sas") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if location.is_emulator:
        key, signature = key or EMULATOR_KEY, None
    if key:
        parts = f"AccountName={location.account};AccountKey={key}"
    elif signature:
        parts = f"SharedAccessSignature={signature.lstrip('?')}"
    else:
        return {}
    return {"AZURE_STORAGE_CONNECTION_STRING": f"{parts};BlobEndpoint={location.endpoint}"}


# Listed one by one: the dependencies of hadoop-azure would pull in a second Hadoop.
EXTRA_JARS = (
    "com.microsoft.azure:azure-storage:7.0.1",
    "org.eclipse.jetty:jetty-util:9.4.43.v20210629",
    "org.eclipse.jetty:jetty-util-ajax:9.4.43.v20210629",
)
EXCLUDED_JARS = "org.apache.hadoop:hadoop-common,commons-logging:commons-logging"


def hadoop_azure_conf(settings: Settings) -> dict[str, str]:
    """Return the Spark settings that download the Azure jars; none if the workspace is not in Blob Storage."""
    if not is_azure_uri(settings.workspace):
        return {}
    packages = [f"org.apache.hadoop:hadoop-azure:{hadoop_version()}", *EXTRA_JARS]
    return {"spark.jars.packages": ",".join(packages), "spark.jars.excludes": EXCLUDED_JARS}


def hadoop_version() -> str:
    """Return the version of the Hadoop bundled with this Spark."""
    jars = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    return next(jar.stem.removeprefix("hadoop-client-api-") for jar in jars)


def hadoop_access_conf(settings: Settings) -> dict[str, str]:
    """Return Hadoop's settings for the workspace, after a check of its container.

    Empty if the workspace is not in Blob Storage. Raises AccessError if a session on this machine has no usable
    credential, or the container rejects it: Hadoop itself would retry for minutes.
    """
    if not is_azure_uri(settings.workspace):
        return {}
    location, _ = parse_blob_uri(settings.workspace)
    credential = workspace_credential(settings, location)
    options = hadoop_options(location, settings.workspace.partition("://")[0], credential)
    _check_access_once(location, credential)
    return options


def workspace_credential(settings: Settings, location: BlobLocation) -> Credential:
    """Return the credential of the workspace. Raises AccessError for a host that must not receive credentials."""
    if location.is_emulator:
        return Credential("account key", "the emulator", EMULATOR_KEY)
    return find_credential(settings.azure, None, location)


def configure_hadoop_access(spark: SparkSession, settings: Settings) -> None:
    """Configure a session on this machine for the workspace. Raises AccessError as `hadoop_access_conf` does.

    The key goes into Hadoop's configuration, not into Spark's, which is shown in the Spark UI.
    """
    if not is_azure_uri(settings.workspace) or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return
    context: Any = spark.sparkContext
    if context.master.startswith("local"):
        configuration = context._jsc.hadoopConfiguration()
        for name, value in hadoop_access_conf(settings).items():
            configuration.set(name, value)


def hadoop_options(location: BlobLocation, scheme: str, credential: Credential) -> dict[str, str]:
    """Return Hadoop's settings for a scheme. Raises AccessError if Hadoop cannot use the credential."""
    host = location.to_hadoop_uri(scheme).partition("@")[2].partition("/")[0]
    if location.is_emulator:
        return {"fs.azure.storage.emulator.account.name": host, "fs.azure.io.retry.max.retries": "1"}
    if credential.kind == "account key":
        return {f"fs.azure.account.key.{host}": credential.secret}
    if credential.kind == "SAS" and scheme.startswith("wasb"):
        return {f"fs.azure.sas.{location.container}.{host}": credential.secret}
    raise AccessError(
        f"workspace = {location.to_hadoop_uri(scheme)}: a Spark session on this machine cannot write there with a "
        f"{credential!r}. Set azure.account_key, or azure.sas with workspace = {location.to_hadoop_uri('wasbs')}; "
        "or run it on a cluster with access."
    )


@lru_cache(4)
def _check_access_once(location: BlobLocation, credential: Credential) -> None:
    check_access(location, credential)
