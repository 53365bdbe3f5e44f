"""Where MLflow keeps models and plots where it has no server: in the workspace, a folder or one in Blob Storage."""

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

if TYPE_CHECKING:  # the command looks into the workspace before it loads Spark
    from pyspark.sql import SparkSession


def artifact_root(workspace: str) -> str:
    """Give the address for MLflow, which knows Blob Storage as wasbs alone."""
    if is_azure_uri(workspace):
        place, _ = parse_blob_uri(workspace)
        return f"{place.to_hadoop_uri('wasbs')}/artifacts"
    if "://" in workspace:
        return f"{workspace.rstrip('/')}/artifacts"
    return (Path(workspace).expanduser().absolute() / "artifacts").as_uri()


def artifact_credentials_env(settings: Settings) -> dict[str, str]:
    """Give the variables by which MLflow enters Blob Storage, from our settings; where they say nothing, none.

    MLflow has no other way to be told. Without them it asks DefaultAzureCredential itself. Raises AccessError for a
    host that may be shown none.
    """
    if not is_azure_uri(settings.workspace):
        return {}
    place, _ = parse_blob_uri(settings.workspace)
    require_known_host(place, settings.azure.hosts)
    given = settings.azure.credentials
    if "connection_string" in given:
        return {"AZURE_STORAGE_CONNECTION_STRING": given["connection_string"]}
    key = given.get("account_key") or os.environ.get("AZURE_STORAGE_KEY")
    signature = given.get("sas") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if place.is_emulator:
        key, signature = key or EMULATOR_KEY, None
    if key:
        parts = f"AccountName={place.account};AccountKey={key}"
    elif signature:
        parts = f"SharedAccessSignature={signature.lstrip('?')}"
    else:
        return {}
    return {"AZURE_STORAGE_CONNECTION_STRING": f"{parts};BlobEndpoint={place.endpoint}"}


# Named one by one: hadoop-azure's own list draws in a second Hadoop.
EXTRA_JARS = (
    "com.microsoft.azure:azure-storage:7.0.1",
    "org.eclipse.jetty:jetty-util:9.4.43.v20210629",
    "org.eclipse.jetty:jetty-util-ajax:9.4.43.v20210629",
)
EXCLUDED = "org.apache.hadoop:hadoop-common,commons-logging:commons-logging"


def hadoop_azure_conf(settings: Settings) -> dict[str, str]:
    """Give the Spark settings that fetch them; none where the workspace is not in Blob Storage."""
    if not is_azure_uri(settings.workspace):
        return {}
    packages = [f"org.apache.hadoop:hadoop-azure:{hadoop_version()}", *EXTRA_JARS]
    return {"spark.jars.packages": ",".join(packages), "spark.jars.excludes": EXCLUDED}


def hadoop_version() -> str:
    """Give the version of the Hadoop that came with this Spark."""
    jars = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    return next(jar.stem.removeprefix("hadoop-client-api-") for jar in jars)


def hadoop_access_conf(settings: Settings) -> dict[str, str]:
    """Give what Hadoop's file system has to be told of the workspace, after one look into its container.

    Nothing where the workspace is not in Blob Storage. Raises AccessError where there is no credential that a
    session on this machine could use, or the container refuses it: Hadoop itself would try for minutes.
    """
    if not is_azure_uri(settings.workspace):
        return {}
    place, _ = parse_blob_uri(settings.workspace)
    credential = workspace_credential(settings, place)
    options = hadoop_options(place, settings.workspace.partition("://")[0], credential)
    _look_into(place, credential)
    return options


def workspace_credential(settings: Settings, place: BlobLocation) -> Credential:
    """Return what opens the workspace. Raises AccessError for a host that may not be shown any credential."""
    if place.is_emulator:
        return Credential("account key", "the emulator", EMULATOR_KEY)
    return find_credential(settings.azure, None, place)


def configure_hadoop_access(spark: SparkSession, settings: Settings) -> None:
    """Let a session on this machine into the workspace. Raises AccessError as `way_in` does.

    The key goes to Hadoop's own configuration, not to Spark's, which shows its own in the UI.
    """
    if not is_azure_uri(settings.workspace) or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return
    context: Any = spark.sparkContext
    if context.master.startswith("local"):
        configuration = context._jsc.hadoopConfiguration()
        for name, value in hadoop_access_conf(settings).items():
            configuration.set(name, value)


def hadoop_options(place: BlobLocation, scheme: str, credential: Credential) -> dict[str, str]:
    """Give what Hadoop's file system for this scheme has to be told. Raises AccessError where it cannot use it."""
    host = place.to_hadoop_uri(scheme).partition("@")[2].partition("/")[0]
    if place.is_emulator:
        return {"fs.azure.storage.emulator.account.name": host, "fs.azure.io.retry.max.retries": "1"}
    if credential.kind == "account key":
        return {f"fs.azure.account.key.{host}": credential.secret}
    if credential.kind == "SAS" and scheme.startswith("wasb"):
        return {f"fs.azure.sas.{place.container}.{host}": credential.secret}
    raise AccessError(
        f"workspace = {place.to_hadoop_uri(scheme)}: a Spark session on this machine cannot write there with a "
        f"{credential!r}. Set azure.account_key, or azure.sas with the workspace written {place.to_hadoop_uri('wasbs')}; or "
        "run it on a cluster that may."
    )


@lru_cache(4)
def _look_into(place: BlobLocation, credential: Credential) -> None:
    check_access(place, credential)
