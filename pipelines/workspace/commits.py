"""Guard commits: a run commits to a table only if no other run has committed since this one read it.

A lock reports early that a workspace is in use, but guarantees nothing: HDFS, S3 and volumes have no locks, and a lease
expires while its machine sleeps or is offline. So the tables are guarded themselves, on every store that Delta can
write to. A run pins a table before it reads the pending work. Its commits then carry Delta's transaction identifier
(txnAppId, txnVersion) with the number of the last irbis commit that the run has seen. Delta accepts each number once,
and never a smaller number, in the same atomic step as the commit itself.

An insert-only MERGE would also detect duplicates, but it would shuffle the bytes of new images. Delta skips a commit
with a used number without an error, so the history is checked afterwards.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from delta import exceptions
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import AnalysisException

from pipelines.azure.lease import require_lease
from pipelines.errors import PlatformError
from pipelines.spark.runtime import sql_conf

MARK = "irbis "  # prefix of the user metadata of commits to pinned tables; then host, process id, commit id
CONFLICTS = (  # the exceptions have no common base class
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.DeltaConcurrentModificationException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)
RECENT = 20  # commits that nearly always include irbis's last one; the others are OPTIMIZE and similar


@dataclass(frozen=True)
class Pin:
    """The state of a table from which a run computes what to write.

    `table_id` is Delta's; null: there is no table yet. A deep clone on Databricks has a new id, although it keeps the
    numbers of its source. `number` is that of irbis's next commit: the version of its last commit plus one.
    """

    table_id: str | None = None
    number: int = 0


class GuardedTables(Protocol):
    """The part of `Tables` that guarded commits need."""

    @property
    def spark(self) -> SparkSession: ...

    @property
    def workspace(self) -> str: ...

    @property
    def pins(self) -> dict[str, Pin]: ...

    def location(self, name: str) -> str: ...

    def exists(self, name: str) -> bool: ...

    def history(self, name: str, limit: int | None = None) -> DataFrame: ...

    def detail(self, name: str) -> DataFrame: ...


def read_pin(tables: GuardedTables, name: str) -> Pin:
    """Return the current state of the table."""
    if not tables.exists(name):
        return Pin()
    table_id = str(tables.detail(name).select("id").first()[0])
    commits = F.col("userMetadata").startswith(MARK)
    if (version := _last_version(tables, name, commits)) is not None:
        return Pin(table_id, version + 1)
    # Earlier versions set no marks, or they were removed with old parts of the log: the rest is newer than any number.
    return Pin(table_id, tables.history(name).agg(F.min("version")).first()[0])


@contextmanager
def guard_commit(tables: GuardedTables, name: str) -> Iterator[str]:
    """Make the only commit in the block fail if the table is pinned and another run has committed to it since.

    Yields the mode for a writer. Raises PlatformError if another run committed first; the commit is then not stored.
    """
    require_lease(tables.workspace)
    pin = tables.pins.get(name)
    if pin is None:
        yield "append"
        return
    if pin.table_id is None and tables.exists(name):
        raise PlatformError(_describe_conflict(tables, name, pin))
    mark = f"{MARK}{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
    conf = {"spark__databricks__delta__commitInfo__userMetadata": mark}
    if pin.table_id:
        conf["spark__databricks__delta__write__txnAppId"] = f"irbis {pin.table_id}"
        conf["spark__databricks__delta__write__txnVersion"] = str(pin.number)
    try:
        with sql_conf(tables.spark, **conf):
            yield "append" if pin.table_id else "errorifexists"
    except CONFLICTS as error:
        raise PlatformError(_describe_conflict(tables, name, pin)) from error
    except AnalysisException as error:
        if pin.table_id is None and tables.exists(name):
            raise PlatformError(_describe_conflict(tables, name, pin)) from error
        raise
    own_version = _last_version(tables, name, F.col("userMetadata") == mark)
    if own_version is None:
        raise PlatformError(_describe_conflict(tables, name, pin))
    table_id = pin.table_id or str(tables.detail(name).select("id").first()[0])
    tables.pins[name] = Pin(table_id, own_version + 1)


def _last_version(tables: GuardedTables, name: str, condition: Column) -> int | None:
    """Return the version of the last commit that satisfies the condition."""
    for limit in (RECENT, None):
        version = tables.history(name, limit).where(condition).agg(F.max("version")).first()[0]
        if version is not None:
            return int(version)
    return None


def _describe_conflict(tables: GuardedTables, name: str, pin: Pin) -> str:
    is_newer = F.col("userMetadata").startswith(MARK) & (F.col("version") >= pin.number)
    newer = tables.history(name, RECENT).where(is_newer).orderBy("version").select("userMetadata").first()
    if newer:
        host, process = newer[0].split(" ")[1:3]
        writer = f"Another run (process {process} on {host}) wrote to"
    else:
        writer = "Something other than a run of irbis, such as OPTIMIZE, changed"
    return (
        f"{writer} the table {tables.location(name)} while this run was in progress. The last commit of this run was "
        "not stored; earlier ones were. Run this again when the other has ended."
    )
