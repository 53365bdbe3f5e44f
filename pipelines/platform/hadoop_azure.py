"""The jars with which a local session's file system speaks to Blob Storage. Clusters have them."""

from __future__ import annotations

from pathlib import Path

import pyspark

from pipelines.azure_address import is_azure_uri
from pipelines.settings import Settings

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
