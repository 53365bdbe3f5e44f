"""The Spark session: the running one, or a local one tuned for small data."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

from pipelines.azure.hadoop import hadoop_azure_conf
from pipelines.config.settings import SYNAPSEML, Settings
from pipelines.disk_space import find_temporary_folder, user_temporary_folder
from pipelines.errors import PlatformError
from pipelines.redaction import SECRET_PATTERN
from pipelines.spark.class_data_sharing import class_data_sharing_options
from pipelines.spark.jars import cached_delta_jars, has_delta, ivy_folder, list_jars, start_failure
from pipelines.spark.java import Java, find_java, java_options, launcher_options
from pipelines.spark.launch import bundled_spark_home, has_user_name, prepare_environment, start_session
from pipelines.spark.preflight import require_usable_machine
from pipelines.spark.runtime import NO_CODEGEN, is_external_session, spark_home

DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

DOCTOR_HINT = "Run `irbis doctor`."

MAX_TASK_FAILURES = 2  # of a task on a local master

# Otherwise glibc returns large blocks to the system after every batch, which costs a quarter of a forward pass.
MALLOC_ENV = {
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_TRIM_THRESHOLD_": 2**31,
    "MALLOC_TOP_PAD_": 2**26,
    "MALLOC_ARENA_MAX": 2,
}


def get_session(settings: Settings, *, verbose: bool = False, cache_classes: bool = True) -> SparkSession:
    """Return the running session on Databricks, in a notebook or under spark-submit, else start a local one.

    `cache_classes=False` is for sessions that run no stage: they load too few Java classes to be worth caching, and
    need no free disk space. Raises PlatformError if Spark cannot start, or if the running session lacks Delta.
    """
    # Spark 3.3 calls deprecated functions of pandas, which users cannot change.
    warnings.filterwarnings("ignore", "iteritems is deprecated", FutureWarning)
    if not SparkSession.getActiveSession():
        require_usable_machine(settings, needs_space=cache_classes)
    if SparkSession.getActiveSession() or is_external_session():
        # On YARN, Spark warns with a page of paths for every jar that it tries to add as a Python file.
        warnings.filterwarnings("ignore", "Failed to add file", RuntimeWarning)
        spark = SparkSession.builder.getOrCreate()
        _require_delta(spark)
        return spark
    return _start_local(settings, verbose, cache_classes)


def is_running(spark: SparkSession) -> bool:
    """Return whether the session's Spark context is still running."""
    context = spark.sparkContext._jsc
    return context is not None and not context.sc().isStopped()


def log_file(settings: Settings) -> Path:
    """Return the log file of Spark, Ivy and the Python workers."""
    is_remote = "://" in settings.workspace
    folder = user_temporary_folder(Path(tempfile.gettempdir())) if is_remote else Path(settings.workspace).expanduser()
    return folder / "logs" / "spark.log"


def _start_local(settings: Settings, verbose: bool, cache_classes: bool) -> SparkSession:
    java = find_java()
    options = prepare_environment(settings)
    os.environ["JAVA_HOME"] = str(java.home)
    if home := bundled_spark_home():
        os.environ["SPARK_HOME"] = str(home)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    log = log_file(settings)
    start = log.stat().st_size if log.is_file() else 0
    conf = _complete_conf(settings, java, options, cache_classes)
    try:
        with launcher_options(), _redirect_output(None if verbose else log):
            try:
                spark = start_session(_builder(conf))
            except Exception:
                if has_user_name() or has_delta(conf):
                    raise
                # Spark fetched Delta before it failed for lack of a user name; with the jars cached it starts.
                spark = start_session(_builder(_complete_conf(settings, java, options, cache_classes)))
    except Exception as error:  # py4j and pyspark raise many kinds here; all mean that Spark did not start
        reason = start_failure(conf, log, start) or f"Spark did not start ({error})."
        raise PlatformError(f"{reason} Details are in {log}. {DOCTOR_HINT}") from error
    _restore_interrupts()
    return spark


def _complete_conf(settings: Settings, java: Java, options: list[str], cache_classes: bool) -> dict[str, Any]:
    """Return all settings of a local session, including those that depend on this process's environment."""
    conf = local_conf(settings, java)
    if "spark.driver.extraJavaOptions" not in settings.spark.conf:
        jars = sorted(map(str, (spark_home() / "jars").glob("*.jar")))
        class_path = [*list_jars(conf, "spark.driver.extraClassPath", ":"), *jars]
        options = [*options, *class_data_sharing_options(java, class_path, create=cache_classes)]
        conf["spark.driver.extraJavaOptions"] += " " + shlex.join(options)
    if conf["spark.master"].startswith("local"):  # Spark's default folders are readable by everybody
        conf.setdefault("spark.local.dir", str(user_temporary_folder(find_temporary_folder(settings.workspace))))
    if not has_user_name() and "spark.jars" in conf:  # Hadoop copies spark.jars, and fails without a user name
        path = [*list_jars(conf, "spark.driver.extraClassPath", ":"), *list_jars(conf, "spark.jars")]
        conf["spark.driver.extraClassPath"] = ":".join(dict.fromkeys(path))
        del conf["spark.jars"]
    return conf


def _builder(conf: Mapping[str, Any]) -> SparkSession.Builder:
    builder = SparkSession.builder.appName("irbis")
    for name, value in conf.items():
        builder = builder.config(name, str(value))
    if has_delta(conf):
        return builder
    return configure_spark_with_delta_pip(builder, list_jars(conf, "spark.jars.packages"))


def _restore_interrupts() -> None:
    """Restore Python's handler of Ctrl-C: Spark's calls the JVM over a busy connection, and the interrupt gets lost."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # py4j logs interrupts with a traceback before it passes them on.
    logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("KeyboardInterrupt while sending"))
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it logs every error that it raises


def local_conf(settings: Settings, java: Java) -> dict[str, Any]:
    """Return the settings of a local session: few partitions, so that reading a table's log does not take 50 tasks."""
    slots = task_slots(settings.spark.master)
    threads = max(1, (os.cpu_count() or 1) // slots)
    conf: dict[str, Any] = {
        "spark.master": _with_retry(settings.spark.master),
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.driver.extraJavaOptions": " ".join(java_options(java)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": slots,
        # For thousands of rows, adaptive planning and code generation cost more than they save.
        "spark.sql.adaptive.enabled": "false",
        **NO_CODEGEN,
        "spark.default.parallelism": slots,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.databricks.delta.snapshotPartitions": 1,
        # Every sort, aggregation and broadcast allocates at least one page, by default 16 MB or more.
        "spark.buffer.pageSize": "1m",
        # Small row groups of images: a task reads a whole group before its worker gets the first row.
        "spark.hadoop.parquet.block.size": 8 * 2**20,
        "spark.hadoop.parquet.block.size.row.check.min": 10,
        "spark.hadoop.parquet.page.size.row.check.min": 10,
        # Feature values hardly ever repeat, so their dictionary would be built only to be discarded.
        "spark.hadoop.parquet.enable.dictionary#features.list.element": "false",
        "spark.sql.warehouse.dir": str(log_file(settings).parents[1] / "warehouse"),
        # Each task uses its fraction of the cores; more threads would compete for them.
        "spark.executorEnv.OMP_NUM_THREADS": threads,
        **{f"spark.executorEnv.{name}": value for name, value in MALLOC_ENV.items()},
        # Redact credentials wherever Spark shows settings.
        "spark.redaction.regex": SECRET_PATTERN,
        **DELTA_CONF,
        **hadoop_azure_conf(settings),
    }
    if settings.train.classifier == "lightgbm":
        conf["spark.jars.packages"] = ",".join([*list_jars(conf, "spark.jars.packages"), SYNAPSEML])
    if settings.spark.master.startswith("local") and "://" not in settings.workspace:
        conf["spark.hadoop.fs.defaultFS"] = "file:///"  # overrides a core-site.xml on the class path
    conf |= settings.spark.conf
    conf.setdefault("spark.jars.ivy", str(ivy_folder(settings)))
    if not has_delta(conf) and (jars := cached_delta_jars(Path(conf["spark.jars.ivy"]) / "jars")):
        conf["spark.jars"] = ",".join([*list_jars(conf, "spark.jars"), *jars])
        # Class data sharing covers jars on this path, but not those of spark.jars.
        conf["spark.driver.extraClassPath"] = ":".join([*list_jars(conf, "spark.driver.extraClassPath", ":"), *jars])
    return conf


def _with_retry(master: str) -> str:
    """Return a local master that retries a failed task once, as an image may crash its worker; others retry anyway."""
    match = re.fullmatch(r"local(?:\[(\*|\d+)\])?", master)
    return f"local[{match[1] or 1},{MAX_TASK_FAILURES}]" if match else master


def task_slots(master: str) -> int:
    """Return the number of tasks that a local master runs at once; for other masters the cores of this machine."""
    match = re.fullmatch(r"local(?:\[(\*|\d+)(?:,\s*\d+)?\])?", master)
    if match and match[1] != "*":
        return int(match[1] or 1)
    return os.cpu_count() or 1


def task_threads(spark: SparkSession) -> int:
    """Return the number of threads a task may use: spark.task.cpus, locally at least its fraction of the cores."""
    conf = spark.sparkContext.getConf()
    task_cpus = int(conf.get("spark.task.cpus", "1"))
    master = spark.sparkContext.master
    if not re.match(r"local(\[|$)", master):
        return task_cpus
    return max(task_cpus, (os.cpu_count() or 1) // task_slots(master))


def _require_delta(spark: SparkSession) -> None:
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return
    missing = [f"--conf {k}={v}" for k, v in DELTA_CONF.items() if v not in (spark.conf.get(k, None) or "")]
    if missing:
        raise PlatformError(
            "This Spark session has no Delta. Start it with "
            f"--packages io.delta:delta-spark_2.12:VERSION (Spark 3.3: delta-core_2.12:2.3.0) {' '.join(missing)}."
        )


@contextmanager
def _redirect_output(path: Path | None) -> Iterator[None]:
    """Redirect file descriptors 1 and 2 to `path` in the block, for a JVM that inherits them when it starts."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    saved = os.dup(1), os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1), os.dup2(target, 2)
    try:
        yield
    finally:
        os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        for descriptor in (*saved, target):
            os.close(descriptor)
