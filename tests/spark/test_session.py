"""The local session: small numbers, Delta on board, its noise in a file."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from pipelines.errors import PlatformError
from pipelines.spark import jars as jars_module
from pipelines.spark import session
from pipelines.spark.java import Java
from pipelines.spark.runtime import is_external_session
from pipelines.spark.session import get_session, local_conf, log_file, task_slots

JAVA = Java(Path("/java"), 17, "JAVA_HOME")
DELTA_JAR = "io.delta_delta-spark_2.12-3.3.3.jar"


@pytest.mark.parametrize(
    ("master", "slots"),
    [("local", 1), ("local[3]", 3), ("local[2, 4]", 2), ("local[*]", os.cpu_count()), ("yarn", os.cpu_count())],
)
def test_task_slots_are_what_the_master_says(master, slots):
    assert task_slots(master) == slots


@pytest.mark.parametrize(
    ("master", "expected"),
    [("local", "local[1,2]"), ("local[3]", "local[3,2]"), ("local[*]", "local[*,2]")]
    + [(other, other) for other in ("local[2, 4]", "local-cluster[2,1,1024]", "yarn")],
)
def test_a_local_session_tries_a_failed_task_once_more(make_settings, master, expected):
    assert local_conf(make_settings({"spark.master": master}), JAVA)["spark.master"] == expected


def test_a_session_has_what_was_set(spark):
    conf = spark.conf
    assert conf.get("spark.sql.session.timeZone") == "UTC"
    assert conf.get("spark.sql.shuffle.partitions") == "2"
    assert conf.get("spark.ui.enabled") == "false"
    assert spark.sparkContext.master == "local[2,2]"
    assert spark.sparkContext.pythonExec == sys.executable


def test_java_has_room_for_what_it_compiles(spark):
    beans = spark._jvm.java.lang.management.ManagementFactory.getMemoryPoolMXBeans()
    rooms = [bean.getUsage().getMax() for bean in beans if "code" in bean.getName().lower()]
    assert sum(rooms) >= 240 * 2**20  # 48 MB by default, with one compiler: too few for a run of all stages


def test_what_little_work_needs_of_memory_is_little(spark):
    memory = spark._jvm.org.apache.spark.SparkEnv.get().memoryManager()
    assert memory.pageSizeBytes() == 2**20  # by default 16 MB or more for each sort, however few its rows
    beans = spark._jvm.java.lang.management.ManagementFactory.getPlatformMXBean(
        spark._jvm.java.lang.Class.forName("com.sun.management.HotSpotDiagnosticMXBean")
    )
    assert int(beans.getVMOption("MetaspaceSize").getValue()) >= 256 * 2**20  # below it: full collections for classes


def test_features_are_written_without_a_dictionary_of_them(spark, tmp_path):
    rows = spark.range(2000).selectExpr("'irbis_tiny' as backbone", "array(cast(id % 7 as float)) as features")
    rows.coalesce(1).write.parquet(str(tmp_path / "features"))
    group = pq.ParquetFile(next((tmp_path / "features").glob("*.parquet"))).metadata.row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert set(columns) == {"backbone", "features.list.element"}
    assert columns["backbone"].has_dictionary_page and not columns["features.list.element"].has_dictionary_page


def test_the_running_session_is_used_as_it_is(spark, make_settings):
    assert get_session(make_settings({"spark.master": "local[1]"})) is spark
    assert spark.sparkContext.master == "local[2,2]"


def test_a_running_session_without_delta_is_refused_with_the_remedy(make_settings, monkeypatch):
    plain = SimpleNamespace(conf=SimpleNamespace(get=lambda name, default: default))
    builder = SimpleNamespace(getOrCreate=lambda: plain)
    monkeypatch.setattr(session, "SparkSession", SimpleNamespace(getActiveSession=lambda: plain, builder=builder))
    with pytest.raises(PlatformError, match=r"has no Delta\. Start it with --packages io\.delta:delta-spark_2\.12"):
        get_session(make_settings())


@pytest.mark.parametrize("variable", ["DATABRICKS_RUNTIME_VERSION", "PYSPARK_GATEWAY_PORT"])
def test_sessions_of_others_are_known_by_a_variable(monkeypatch, variable):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    assert not is_external_session()
    monkeypatch.setenv(variable, "1")
    assert is_external_session()


def test_what_the_user_sets_for_spark_wins(make_settings, monkeypatch):
    monkeypatch.setattr(session, "cached_delta_jars", lambda folder: [f"/ivy/{DELTA_JAR}"])
    conf = local_conf(make_settings({"spark.conf.spark.ui.enabled": "true", "spark.driver_memory": "3g"}), JAVA)
    assert (conf["spark.ui.enabled"], conf["spark.driver.memory"]) == ("true", "3g")
    assert conf["spark.jars"] == f"/ivy/{DELTA_JAR}"


def test_delta_is_added_to_the_jars_of_the_user_unless_it_is_among_them(make_settings, monkeypatch):
    monkeypatch.setattr(session, "cached_delta_jars", lambda folder: [f"/ivy/{DELTA_JAR}"])
    assert local_conf(make_settings({"spark.conf.spark.jars": "/x.jar, /y.jar"}), JAVA)["spark.jars"] == (
        f"/x.jar,/y.jar,/ivy/{DELTA_JAR}"
    )
    own = {"spark.conf.spark.jars.packages": "io.delta:delta-spark_2.12:3.2.0"}
    assert "spark.jars" not in local_conf(make_settings(own), JAVA)


def test_jars_in_the_cache_are_taken_only_together(monkeypatch, tmp_path):
    monkeypatch.setattr(jars_module.importlib.metadata, "version", lambda name: "3.3.3")
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / DELTA_JAR).touch()
    (jars / "io.delta_delta-storage-3.2.0.jar").touch()
    assert jars_module.cached_delta_jars(jars) == []
    (jars / "io.delta_delta-storage-3.3.3.jar").touch()
    assert jars_module.cached_delta_jars(jars) == [
        str(jars / DELTA_JAR),
        str(jars / "io.delta_delta-storage-3.3.3.jar"),
    ]


def test_what_lies_in_a_shared_temporary_folder_is_this_users_own(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "irbis").symlink_to(tmp_path)  # of another user, at a name that was used before
    log = log_file(make_settings({"workspace": "az://account/container"}))
    assert log == tmp_path / f"irbis-{os.getuid()}" / "logs" / "spark.log"
    assert stat.S_IMODE(log.parents[1].stat().st_mode) == 0o700
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(session, "class_data_sharing_options", lambda *_, **__: [])
    conf = session._complete_conf(make_settings(), JAVA, [], True)
    assert conf["spark.local.dir"] == str(tmp_path / f"irbis-{os.getuid()}")
    given = make_settings({"spark.conf": {"spark.local.dir": "/mnt/fast"}})
    assert session._complete_conf(given, JAVA, [], True)["spark.local.dir"] == "/mnt/fast"
    log.parents[1].rename(tmp_path / "away")
    (tmp_path / f"irbis-{os.getuid()}").symlink_to(tmp_path / "away")
    with pytest.raises(PlatformError, match=f"irbis-{os.getuid()}"):
        log_file(make_settings({"workspace": "az://account/container"}))


def test_the_noise_goes_to_a_file_of_the_workspace(make_settings, tmp_path):
    own = f"irbis-{os.getuid()}"
    assert log_file(make_settings()) == tmp_path / "workspace" / "logs" / "spark.log"
    assert log_file(make_settings({"workspace": "dbfs:/irbis"})).parts[-3:] == (own, "logs", "spark.log")
    log = log_file(make_settings())
    with session._redirect_output(log):
        os.write(1, b"from the JVM\n")
        os.write(2, b"Exception: why\n")
    with session._redirect_output(log):
        os.write(2, b"Error: no memory\n")
    assert log.read_text() == "from the JVM\nException: why\nError: no memory\n"


@pytest.fixture
def failing(make_settings, monkeypatch):
    """Return settings whose session does not start."""

    def fail():
        os.write(2, b"noise\nError: Could not reserve enough space\n")
        raise RuntimeError("Java gateway process exited")

    settings = make_settings()
    log_file(settings).parent.mkdir(parents=True)
    log_file(settings).write_text("Exception: of the run before\n")
    monkeypatch.setattr(session, "find_java", lambda: JAVA)
    monkeypatch.setattr(session, "cached_delta_jars", lambda folder: [])
    starting = SimpleNamespace(_options={}, getOrCreate=fail)
    monkeypatch.setattr(session, "configure_spark_with_delta_pip", lambda builder, packages: starting)
    for name in ("JAVA_HOME", "SPARK_LOCAL_IP", "SPARK_LAUNCHER_OPTS", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return settings


@pytest.mark.process
def test_a_session_that_does_not_start_says_why_and_where_to_look(failing, capfd):
    with pytest.raises(PlatformError) as caught:
        session._start_local(failing, verbose=False, cache_classes=True)
    assert str(caught.value) == (
        f"Spark did not start (Error: Could not reserve enough space). Details are in {log_file(failing)}. "
        "Run `irbis doctor`."
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cache_classes", [True, False])
def test_only_a_session_that_runs_stages_leaves_an_archive_of_classes(failing, monkeypatch, cache_classes):
    calls = []
    monkeypatch.setattr(session, "class_data_sharing_options", lambda java, jars, *, create: calls.append(create) or [])
    with pytest.raises(PlatformError):
        session._start_local(failing, verbose=False, cache_classes=cache_classes)
    assert calls == [cache_classes]
