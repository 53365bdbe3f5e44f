"""Let a run commit to a table only if no other run has committed to it since this one looked.

A lock tells a second run early that a workspace is in use, but it guarantees nothing: HDFS, S3 and volumes have none,
and a lease ends under a machine that sleeps or is off the network. So the tables guard themselves, on every store that
Delta can write to. A run pins a table before it reads what is left to do. Its commits then carry Delta's transaction
identifier (txnAppId, txnVersion) with the number of the last commit of irbis that the run knows. Delta takes one commit
with each number, and never one with a smaller number, in the atomic step in which it takes the commit itself.

The rows are not compared, as an insert-only MERGE would do: it would shuffle the bytes of new images. Delta skips a
commit whose number is taken, without an error; hence the look into the history afterwards.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delta import exceptions
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.utils import AnalysisException

from pipelines.errors import PlatformError
from pipelines.spark.runtime import sql_conf
from pipelines.workspace.lease import require_lease

if TYPE_CHECKING:
    from pipelines.workspace.tables import Tables

MARK = "irbis "  # begins the user metadata of every commit to a pinned table; then host, process id, commit
CONFLICTS = (  # they have no base in common
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.DeltaConcurrentModificationException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)
RECENT = 20  # commits, among which irbis's last one nearly always is; the others are OPTIMIZE and the like


@dataclass(frozen=True)
class Pin:
    """The state of a table on which a run decides what to write.

    `table_id` is Delta's; null: there is no table yet. A deep clone of Databricks has another one, though it keeps its
    source's numbers. `number` is that of irbis's next commit: one more than the version of its last one.
    """

    table_id: str | None = None
    number: int = 0


def read_pin(tables: Tables, name: str) -> Pin:
    """Return the table's state now."""
    if not tables.exists(name):
        return Pin()
    table_id = str(tables.detail(name).select("id").first()[0])
    commits = F.col("userMetadata").startswith(MARK)
    if (version := _last_version(tables, name, commits)) is not None:
        return Pin(table_id, version + 1)
    # An earlier irbis left no marks, or they went with old parts of the log: what is left is newer than any number.
    return Pin(table_id, tables.history(name).agg(F.min("version")).first()[0])


@contextmanager
def guard_commit(tables: Tables, name: str) -> Iterator[str]:
    """Make the block's one commit to a table fail if it is pinned and another run has committed to it since.

    Yields the mode for a writer. Raises PlatformError where the other run came first: then nothing of the block is
    stored.
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


def _last_version(tables: Tables, name: str, condition: Column) -> int | None:
    """Return the version of the last commit for which the condition holds."""
    for limit in (RECENT, None):
        version = tables.history(name, limit).where(condition).agg(F.max("version")).first()[0]
        if version is not None:
            return int(version)
    return None


def _describe_conflict(tables: Tables, name: str, pin: Pin) -> str:
    is_newer = F.col("userMetadata").startswith(MARK) & (F.col("version") >= pin.number)
    newer = tables.history(name, RECENT).where(is_newer).orderBy("version").select("userMetadata").first()
    if newer:
        host, process = newer[0].split(" ")[1:3]
        writer = f"Another run (process {process} on {host}) wrote to"
    else:
        writer = "Something other than a run of irbis, such as OPTIMIZE, changed"
    return (
        f"{writer} the table {tables.location(name)} while this run was at work. The last commit of this run was not "
        "stored; those before it were. When the other has ended, run this again."
    )
