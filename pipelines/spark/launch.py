"""Prepare this process's environment for a Spark of its own: what others have set for theirs must not reach it."""

from __future__ import annotations

import getpass
import locale
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.disk_space import own_temporary, temporary_folder
from pipelines.redaction import is_secret

# Settings of another Spark, as notebooks, edge nodes and ~/.bashrc leave them. Ours come from spark.conf alone.
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
    """Return the variables that are set for another Spark and do not reach ours."""
    is_local = settings.spark.master.startswith("local")
    names = list(FOREIGN_VARIABLES) + (list(HADOOP_VARIABLES) if is_local and "://" not in settings.workspace else [])
    if not is_local:  # a cluster's own settings are in these folders
        names.remove("SPARK_CONF_DIR")
    found = [name for name in names if os.environ.get(name)]
    home = os.environ.get("SPARK_HOME")
    return (
        [*found, "SPARK_HOME"]
        if home and bundled_spark_home() and Path(home).resolve() != bundled_spark_home()
        else found
    )


def prepare_environment(settings: Settings) -> list[str]:
    """Change the environment for a Spark of this process, and return the Java options that go with it.

    Raises PlatformError where no folder can take temporary files.
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
    temporary = temporary_folder(settings.workspace)
    if temporary != Path("/tmp") and os.name == "posix":
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        options.append(f"-Djava.io.tmpdir={temporary}")
    return options


def bundled_spark_home() -> Path | None:
    """Return the folder of the Spark that came with this pyspark, the only one sure to be of its version."""
    import pyspark

    home = Path(pyspark.__file__).resolve().parent
    return home if (home / "jars").is_dir() else None


def start_session(builder: Any) -> Any:
    """Start the session that a builder describes, also for a user without a name, whom Hadoop does not let in.

    Java starts with what is no secret: its arguments are shown to everybody on the machine.
    """
    open_ = {name: value for name, value in builder._options.items() if not is_secret(name, value)}
    if len(open_) < len(builder._options) or not has_user_name():
        from pyspark import SparkConf, SparkContext

        conf = SparkConf()
        for name, value in open_.items():
            conf.set(name, value)
        SparkContext._ensure_initialized(conf=conf)  # Java alone
    if not has_user_name():  # who is at work is settled before Spark asks
        users = SparkContext._jvm.org.apache.hadoop.security.UserGroupInformation
        users.setLoginUser(users.createRemoteUser(getpass.getuser()))
    return builder.getOrCreate()


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
    """Set HOME to this user's temporary folder if neither it nor the system's list of users names one.

    Raises PlatformError where that folder is another user's.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(own_temporary(Path(tempfile.gettempdir())))


def utf8_locale() -> str | None:
    """Return the locale of UTF-8 that this machine has; "" if one is in force already, None if it has none."""
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
    """Give a user without a name one, which MLflow asks for."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on the version of Python
        os.environ["USER"] = os.environ["LOGNAME"] = f"uid{os.getuid()}"
