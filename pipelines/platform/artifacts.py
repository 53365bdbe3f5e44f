"""Where MLflow keeps models and plots where it has no server: in the workspace, a folder or one in Blob Storage."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.azure_address import EMULATOR_KEY, is_azure_uri, parse_blob_uri, require_known_host
from pipelines.settings import Settings


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
    given = settings.azure.given
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
