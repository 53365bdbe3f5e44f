"""Let the file system of a local session into a workspace in Blob Storage. A cluster comes with its own way in."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.azure_address import EMULATOR_KEY, BlobLocation, is_azure_uri, parse_blob_uri
from pipelines.errors import AccessError
from pipelines.settings import Settings
from pipelines.storage.azure_credentials import Credential, find_credential
from pipelines.storage.sources.azure_blob import INTERACTIVE_RETRY, AzureBlobs

if TYPE_CHECKING:  # the command looks into the workspace before it loads Spark
    from pyspark.sql import SparkSession


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
    AzureBlobs(place, credential, 1, INTERACTIVE_RETRY).check()
