"""What others have set for their Spark does not reach ours; what Java needs is set."""

from __future__ import annotations

import getpass
import locale
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from pipelines.spark import launch
from pipelines.spark.java import READ_BY_JAVA, Java, java_options
from pipelines.spark.launch import FOREIGN_VARIABLES, ensure_home, ignored_variables, prepare_environment, utf8_locale


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back every variable afterwards, and begin with none of those that are looked at."""
    before = dict(os.environ)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    for name in (*FOREIGN_VARIABLES, *launch.HADOOP_VARIABLES, "SPARK_HOME", "TMPDIR", "PYTHONSAFEPATH"):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_settings_of_another_spark_are_dropped(make_settings, tmp_path):
    foreign = dict.fromkeys((*FOREIGN_VARIABLES, "HADOOP_CONF_DIR", "YARN_CONF_DIR"), "x")
    os.environ.update(
        foreign | {"SPARK_HOME": str(tmp_path), "SPARK_LOCAL_IP": "192.0.2.1", "SPARK_LOCAL_DIRS": "/tmp"}
    )
    assert ignored_variables(make_settings()) == [*foreign, "SPARK_HOME"]
    prepare_environment(make_settings())
    assert not {*foreign, "SPARK_HOME"} & os.environ.keys()
    assert os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    assert ignored_variables(make_settings()) == []


def test_a_workspace_or_a_master_elsewhere_keeps_the_settings_of_its_cluster(make_settings):
    os.environ.update({"HADOOP_CONF_DIR": "/etc/hadoop", "SPARK_CONF_DIR": "/etc/spark", "SPARK_REMOTE": "sc://x"})
    assert ignored_variables(make_settings({"workspace": "hdfs://head/irbis"})) == ["SPARK_CONF_DIR", "SPARK_REMOTE"]
    assert ignored_variables(make_settings({"spark.master": "yarn"})) == ["SPARK_REMOTE"]


def test_modules_of_the_current_folder_stay_out_of_the_workers_unless_they_are_in_here(make_settings, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    prepare_environment(make_settings())
    assert "PYTHONSAFEPATH" not in os.environ
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", os.getcwd())])
    prepare_environment(make_settings())
    assert os.environ["PYTHONSAFEPATH"] == "1"


@pytest.mark.skipif(os.name != "posix", reason="Java takes the encoding of file names from the locale on Unix alone")
def test_java_gets_a_locale_of_utf_8_whatever_is_set(make_settings, monkeypatch):
    before = locale.setlocale(locale.LC_CTYPE)
    monkeypatch.setattr(launch, "UTF8_LOCALES", ("xx_XX.UTF-8", *launch.UTF8_LOCALES))
    os.environ.update({"LC_ALL": "C", "LANG": "en_US.UTF-8"})
    if utf8_locale() is None:
        pytest.skip("needs a machine with a locale of UTF-8")
    prepare_environment(make_settings())
    assert os.environ["LC_ALL"] in launch.UTF8_LOCALES[1:]
    assert utf8_locale() == ""  # it is in force
    assert locale.setlocale(locale.LC_CTYPE) == before
    monkeypatch.setattr(launch, "UTF8_LOCALES", ("xx_XX.UTF-8",))
    os.environ["LC_ALL"] = "C"
    assert utf8_locale() is None


def test_java_writes_temporary_files_where_python_does(make_settings, tmp_path):
    os.environ["TMPDIR"] = str(tmp_path)
    assert prepare_environment(make_settings()) == [f"-Djava.io.tmpdir={tmp_path}"]
    assert tempfile.gettempdir() == str(tmp_path)


def test_a_user_without_a_name_gets_one_and_java_a_home(make_settings, monkeypatch):
    monkeypatch.setattr(launch, "has_user_name", lambda: False)
    monkeypatch.setattr(launch.getpass, "getuser", lambda: os.environ.get("USER") or {}["no such user"])
    os.environ.pop("USER", None)
    assert prepare_environment(make_settings()) == [f"-Duser.name=uid{os.getuid()}", f"-Duser.home={Path.home()}"]
    assert os.environ["USER"] == os.environ["LOGNAME"] == f"uid{os.getuid()}"


def test_without_any_home_the_temporary_folder_is_one(monkeypatch):
    def lost(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(lost))
    ensure_home()
    assert os.environ["HOME"] == f"{tempfile.gettempdir()}/irbis-{os.getuid()}"


def test_the_name_of_whoever_runs_this_is_left_alone(make_settings):
    name = getpass.getuser()
    prepare_environment(make_settings())
    assert getpass.getuser() == name


@pytest.mark.parametrize("name", READ_BY_JAVA)
def test_a_garbage_collector_that_is_chosen_gets_no_second_beside_it(monkeypatch, name):
    for each in READ_BY_JAVA:
        monkeypatch.delenv(each, raising=False)
    java = Java(Path("/java"), 17, "JAVA_HOME")
    assert any(option.endswith("GC") for option in java_options(java))
    monkeypatch.setenv(name, "-Xss2m -XX:+UseG1GC -Dfile.encoding=UTF-8")
    assert not any(option.endswith("GC") for option in java_options(java))


STARTING = """
import os, sys
from pathlib import Path
from pipelines.config.loader import load_settings
from pipelines.spark.session import get_session
chosen = {"spark.hadoop.reader.password": "hunter22", "spark.reader.token": 22, "spark.hadoop.a": "b"}
chosen["spark.hadoop.c"] = "${env.HOME}"
spark = get_session(load_settings(None, {"workspace": sys.argv[1], "spark.master": "local[1]", "spark.conf": chosen}))
java = spark.sparkContext._gateway.proc.pid
arguments = Path(f"/proc/{java}/cmdline").read_text()
assert "spark.hadoop.a=b" in arguments, arguments
assert "hunter22" not in arguments and "spark.reader.token" not in arguments, arguments
hadoop = spark.sparkContext._jsc.hadoopConfiguration()
assert (hadoop.get("reader.password"), hadoop.get("a")) == ("hunter22", "b")
assert hadoop.get("c") == os.environ["HOME"]  # the reference that docs/deploy/kubernetes.md recommends
assert spark.conf.get("spark.reader.token") == "22" and spark.range(3).count() == 3
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="asks Linux for the arguments of processes")
@pytest.mark.process
def test_java_of_a_session_is_given_no_secret_as_an_argument(tmp_path):
    done = subprocess.run([sys.executable, "-c", STARTING, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
