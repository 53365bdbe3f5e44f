"""Prepare the environment of this process for its own Spark, without the variables of other Spark installations."""

from __future__ import annotations

import getpass
import locale
import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.disk_space import find_temporary_folder, user_temporary_folder
from pipelines.redaction import is_secret

# Variables of another Spark, as set by notebooks, edge nodes and ~/.bashrc. irbis's settings come from spark.conf only.
FOREIGN_VARIABLES = (
    "PYSPARK_SUBMIT_ARGS",
    "SPARK_CONF_DIR",
    "SPARK_CONNECT_MODE_ENABLED",
    "SPARK_DIST_CLASSPATH",
    "SPARK_ENV_LOADED",
    "SPARK_LOCAL_HOSTNAME",
    "SPARK_LOCAL_REMOTE",
    "SPARK_PREPEND_CLASSES",
    "SPARK_PUBLIC_DNS",
    "SPARK_REMOTE",
    "SPARK_SCALA_VERSION",
    "SPARK_SQL_TESTING",
    "SPARK_TESTING",
)
HADOOP_VARIABLES = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")  # they may name another file system, and ask for Kerberos
UTF8_LOCALES = ("C.UTF-8", "C.utf8", "en_US.UTF-8")


def ignored_variables(settings: Settings) -> list[str]:
    """Return the variables that are set for another Spark and are ignored."""
    is_local = settings.spark.master.startswith("local")
    names = list(FOREIGN_VARIABLES) + (list(HADOOP_VARIABLES) if is_local and "://" not in settings.workspace else [])
    if not is_local:  # a cluster's own settings are in these folders
        names.remove("SPARK_CONF_DIR")
    ignored = [name for name in names if os.environ.get(name)]
    home, bundled = os.environ.get("SPARK_HOME"), bundled_spark_home()
    return [*ignored, "SPARK_HOME"] if home and bundled and Path(home).resolve() != bundled else ignored


def prepare_environment(settings: Settings) -> list[str]:
    """Change this process's environment for its own Spark, and return the Java options to go with it.

    Raises PlatformError if there is no folder for temporary files.
    """
    for name in ignored_variables(settings):
        del os.environ[name]
    if settings.spark.master.startswith("local"):
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"  # a laptop's host name need not resolve
    if utf8 := utf8_locale():  # Java and the workers would change file names that are not ASCII
        os.environ["LC_ALL"] = utf8
    _set_user_name()
    if not {"", os.getcwd()} & set(sys.path):  # Spark starts its workers with `python -m`: modules of this folder first
        os.environ["PYTHONSAFEPATH"] = "1"
    options = [] if has_user_name() else [f"-Duser.name={getpass.getuser()}", f"-Duser.home={Path.home()}"]
    temporary = find_temporary_folder(settings.workspace)
    if temporary != Path("/tmp") and os.name == "posix":
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        options.append(f"-Djava.io.tmpdir={temporary}")
    return options


def bundled_spark_home() -> Path | None:
    """Return the Spark bundled with pyspark, which certainly has the same version; None if there is none."""
    import pyspark

    home = Path(pyspark.__file__).resolve().parent
    return home if (home / "jars").is_dir() else None


def start_session(builder: Any) -> Any:
    """Start the session of a builder, also for a user without a name, whom Hadoop rejects.

    Starts Java without the secret settings, as everybody on the machine can see its arguments; Spark gets them later.
    """
    public = {name: value for name, value in builder._options.items() if not is_secret(name, value)}
    if len(public) < len(builder._options) or not has_user_name():
        from pyspark import SparkConf, SparkContext

        conf = SparkConf()
        for name, value in public.items():
            conf.set(name, value)
        SparkContext._ensure_initialized(conf=conf)  # starts only the JVM
    if not has_user_name():  # log in to Hadoop before Spark does
        users = SparkContext._jvm.org.apache.hadoop.security.UserGroupInformation
        users.setLoginUser(users.createRemoteUser(getpass.getuser()))
    return builder.getOrCreate()


@cache
def java_forked() -> threading.Event:
    """Return an event that is set as soon as this process has forked for Java, for threads that import modules.

    They must not import before: the fork waits for the locks of `import` and of `logging`, and so does an import that
    asks for a logger, in an order of its own. Each of them would wait for the other's lock forever.
    """
    forked = threading.Event()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_parent=forked.set)
    else:  # Windows starts processes without a fork
        forked.set()
    return forked


def has_user_name() -> bool:
    """Return whether this process's user has an entry in the system's list; `docker run -u 1234` gives one without."""
    try:
        import pwd

        pwd.getpwuid(os.getuid())
    except ImportError:  # Windows, whose users have names
        return True
    except KeyError:
        return False
    return True


def ensure_home() -> None:
    """Set HOME to a temporary folder of this user if neither HOME nor the list of users has one.

    Raises PlatformError if that folder belongs to another user.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(user_temporary_folder(Path(tempfile.gettempdir())))


def utf8_locale() -> str | None:
    """Return a UTF-8 locale of this machine; "" if the current one is UTF-8, None if there is none."""
    if os.name != "posix":
        return ""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("", *UTF8_LOCALES):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            if locale.nl_langinfo(locale.CODESET).upper() == "UTF-8":
                return name
        return None
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _set_user_name() -> None:
    """Set USER and LOGNAME for a user without a name, which MLflow requires."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on the version of Python
        os.environ["USER"] = os.environ["LOGNAME"] = f"uid{os.getuid()}"
