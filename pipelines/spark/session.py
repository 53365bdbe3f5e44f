"""Give the Spark session: the one that is there, or a local one tuned for small work."""

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
from pipelines.disk_space import own_temporary, temporary_folder
from pipelines.errors import PlatformError
from pipelines.redaction import SECRET_PATTERN
from pipelines.spark.class_data_sharing import class_data_sharing_options
from pipelines.spark.jars import cached_delta_jars, has_delta, ivy_folder, list_jars, start_failure
from pipelines.spark.java import Java, find_java, java_options, launcher_options
from pipelines.spark.launch import has_user_name, prepare_environment, start_session, bundled_spark_home
from pipelines.spark.preflight import require_usable_machine
from pipelines.spark.runtime import NO_CODEGEN, is_external_session, spark_home

DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

DOCTOR_HINT = "Run `irbis doctor`."

MAX_TASK_FAILURES = 2  # of a task on a local master

# glibc hands large blocks back to the system after every batch, to ask for them anew: a quarter of a forward pass.
MALLOC_ENV = {
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_TRIM_THRESHOLD_": 2**31,
    "MALLOC_TOP_PAD_": 2**26,
    "MALLOC_ARENA_MAX": 2,
}


def get_session(settings: Settings, *, verbose: bool = False, cache_classes: bool = True) -> SparkSession:
    """Give the running session on Databricks, in a notebook and under spark-submit, else a local one.

    `cache_classes`: it will run no stage. What Java has loaded by its end is too little to be kept for those that do.
    Raises PlatformError if Spark cannot start, or if the running session lacks Delta.
    """
    # What Spark 3.3 calls of pandas is not the caller's to mend.
    warnings.filterwarnings("ignore", "iteritems is deprecated", FutureWarning)
    if not SparkSession.getActiveSession():
        require_usable_machine(settings, needs_space=cache_classes)
    if SparkSession.getActiveSession() or is_external_session():
        # On YARN a page of paths for every jar that it takes for a Python file and cannot put on the path twice.
        warnings.filterwarnings("ignore", "Failed to add file", RuntimeWarning)
        spark = SparkSession.builder.getOrCreate()
        _require_delta(spark)
        return spark
    return _start_local(settings, verbose, cache_classes)


def is_running(spark: SparkSession) -> bool:
    """Say whether the session still has its Spark: it may have been stopped from elsewhere, or have stopped itself."""
    context = spark.sparkContext._jsc
    return context is not None and not context.sc().isStopped()


def log_file(settings: Settings) -> Path:
    """Say where the noise of Spark, Ivy and the workers goes."""
    is_remote = "://" in settings.workspace
    folder = own_temporary(Path(tempfile.gettempdir())) if is_remote else Path(settings.workspace).expanduser()
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
                # Spark has fetched Delta before it asked for the user's name; with the jars there it does not ask.
                spark = start_session(_builder(_complete_conf(settings, java, options, cache_classes)))
    except Exception as error:  # py4j and pyspark raise many kinds here; all mean that Spark did not start
        reason = start_failure(conf, log, start) or f"Spark did not start ({error})."
        raise PlatformError(f"{reason} Details are in {log}. {DOCTOR_HINT}") from error
    _restore_interrupts()
    return spark


def _complete_conf(settings: Settings, java: Java, options: list[str], cache_classes: bool) -> dict[str, Any]:
    """Return all settings of a local session, those that depend on the environment of this process too."""
    conf = local_conf(settings, java)
    if "spark.driver.extraJavaOptions" not in settings.spark.conf:
        jars = sorted(map(str, (spark_home() / "jars").glob("*.jar")))
        class_path = [*list_jars(conf, "spark.driver.extraClassPath", ":"), *jars]
        options = [*options, *class_data_sharing_options(java, class_path, create=cache_classes)]
        conf["spark.driver.extraJavaOptions"] += " " + shlex.join(options)
    if conf["spark.master"].startswith("local"):  # Spark's own folders there can be read by everybody
        conf.setdefault("spark.local.dir", str(own_temporary(temporary_folder(settings.workspace))))
    if not has_user_name() and "spark.jars" in conf:  # what goes to executors Hadoop copies, which asks for the user's name
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
    """Let Ctrl-C stop the work: Spark's own handler talks to the JVM on a line that is in use, and it gets lost."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # py4j logs the interrupt with its traceback before it lets it go on.
    logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("KeyboardInterrupt while sending"))
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # so it does with all that it raises, in every thread


def local_conf(settings: Settings, java: Java) -> dict[str, Any]:
    """Give the settings of a local session. Small numbers everywhere: a table's log must not cost 50 tasks."""
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
        # Thousands of rows, not billions: planning anew and compiling each query cost more than they save.
        "spark.sql.adaptive.enabled": "false",
        **NO_CODEGEN,
        "spark.default.parallelism": slots,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.databricks.delta.snapshotPartitions": 1,
        # Every sort, every aggregation and every table that is sent takes at least a page: by default 16 MB or more.
        "spark.buffer.pageSize": "1m",
        # Row groups of images: a task reads one before its worker sees the first, and none comes to hundreds of MB.
        "spark.hadoop.parquet.block.size": 8 * 2**20,
        "spark.hadoop.parquet.block.size.row.check.min": 10,
        "spark.hadoop.parquet.page.size.row.check.min": 10,
        # Hardly a value of a feature comes twice: a dictionary of them is built only to be thrown away.
        "spark.hadoop.parquet.enable.dictionary#features.list.element": "false",
        "spark.sql.warehouse.dir": str(log_file(settings).parents[1] / "warehouse"),
        # One task owns its share of the cores: more threads than that fight for them.
        "spark.executorEnv.OMP_NUM_THREADS": threads,
        **{f"spark.executorEnv.{name}": value for name, value in MALLOC_ENV.items()},
        # What Spark shows of settings must not hold what lets one in.
        "spark.redaction.regex": SECRET_PATTERN,
        **DELTA_CONF,
        **hadoop_azure_conf(settings),
    }
    if settings.train.classifier == "lightgbm":
        conf["spark.jars.packages"] = ",".join([*list_jars(conf, "spark.jars.packages"), SYNAPSEML])
    if settings.spark.master.startswith("local") and "://" not in settings.workspace:
        conf["spark.hadoop.fs.defaultFS"] = "file:///"  # whatever a core-site.xml on the class path says
    conf |= settings.spark.conf
    conf.setdefault("spark.jars.ivy", str(ivy_folder(settings)))
    if not has_delta(conf) and (jars := cached_delta_jars(Path(conf["spark.jars.ivy"]) / "jars")):
        conf["spark.jars"] = ",".join([*list_jars(conf, "spark.jars"), *jars])
        # Java keeps classes of this path in its archive, but none of spark.jars.
        conf["spark.driver.extraClassPath"] = ":".join([*list_jars(conf, "spark.driver.extraClassPath", ":"), *jars])
    return conf


def _with_retry(master: str) -> str:
    """Return a local master that tries a failed task once more, as all others do: an image may end its worker."""
    found = re.fullmatch(r"local(?:\[(\*|\d+)\])?", master)
    return f"local[{found[1] or 1},{MAX_TASK_FAILURES}]" if found else master


def task_slots(master: str) -> int:
    """Count the tasks that run at once on a local master; others are taken as one per core here."""
    match = re.fullmatch(r"local(?:\[(\*|\d+)(?:,\s*\d+)?\])?", master)
    if match and match[1] != "*":
        return int(match[1] or 1)
    return os.cpu_count() or 1


def task_threads(spark: SparkSession) -> int:
    """Give the threads that a task may keep busy: its own cores, locally its share of the machine's."""
    conf = spark.sparkContext.getConf()
    own = int(conf.get("spark.task.cpus", "1"))
    master = spark.sparkContext.master
    if not re.match(r"local(\[|$)", master):
        return own
    return max(own, (os.cpu_count() or 1) // task_slots(master))


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
    """Let the JVM, which inherits our descriptors when it starts, write to `path` instead of the terminal."""
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
