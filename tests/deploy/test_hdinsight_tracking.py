"""deploy/hdinsight/tracking.sh: MLflow's server on a head node. hdfs and mlflow are stubs."""

from __future__ import annotations

import configparser
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time

import pytest

pytestmark = pytest.mark.process


@pytest.fixture
def tracking(head_node, tmp_path):
    """Yield a function that runs tracking.sh with a stub of MLflow's server, the server's folder and the test's."""
    home, node = head_node
    server = tmp_path / "tracking"
    (server / "environment/bin").mkdir(parents=True)
    (server / "environment/bin/python").symlink_to(sys.executable)
    mlflow = server / "environment/bin/mlflow"
    mlflow.write_text('#!/bin/sh\necho "$@" config $MLFLOW_AUTH_CONFIG_PATH\nexec sleep 30\n')
    mlflow.chmod(0o755)
    kept = tmp_path / "kept"
    verbs = f'-test) test -e {kept} ;; -cat) cat {kept} ;; -put) cp "$4" {kept} ;;'
    node.script("hdfs", f"#!/bin/sh\ncase $2 in {verbs} esac\n")
    script = str(home / "deploy/hdinsight/tracking.sh")
    yield lambda what: node.run(script, what, TRACKING=str(server)), server, tmp_path
    if (server / "pid").is_file():
        subprocess.run(["kill", (server / "pid").read_text().strip()], check=False)


def test_the_tracking_server_starts_once_and_says_its_address(tracking):
    run, _, _ = tracking
    done = run("start")
    assert done.returncode == 0, done.stderr
    address = r"tracking.uri is http://irbis:PASSWORD@\S+:5000, with the PASSWORD in "
    assert "started" in done.stdout and re.search(address, done.stdout)
    assert "is running" in run("start").stdout


def test_the_tracking_server_asks_everybody_for_a_password_that_only_its_user_reads(tracking):
    run, server, _ = tracking
    done = run("start")
    password = (server / "password").read_text()
    assert re.fullmatch(r"[A-Za-z0-9]{40}", password) and password not in done.stdout + done.stderr
    for name in ("password", "auth.ini", "server.log"):
        assert (server / name).stat().st_mode & 0o077 == 0
    assert server.stat().st_mode & 0o077 == 0
    chosen = configparser.ConfigParser()
    chosen.read(server / "auth.ini")
    assert dict(chosen["mlflow"]) == {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": f"sqlite:///{server}/auth.db",
        "admin_username": "irbis",
        "admin_password": password,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    while not (log := (server / "server.log").read_text()):  # the stub writes its arguments there
        time.sleep(0.05)
    assert "server --app-name basic-auth --host" in log and f"config {server}/auth.ini" in log
    run("start")
    assert (server / "password").read_text() == password


def test_what_was_saved_is_taken_up_on_another_cluster(tracking):
    run, server, tmp_path = tracking
    with sqlite3.connect(server / "mlflow.db") as database:
        database.execute("create table runs (name text)")
        database.execute("insert into runs values ('champion')")
    (server / "artifacts/1").mkdir(parents=True)
    (server / "artifacts/1/model").write_text("weights")
    assert run("save").returncode == 0
    with tarfile.open(tmp_path / "kept") as archive:
        assert {"mlflow.db", "artifacts/1/model"} <= set(archive.getnames())
    (server / "mlflow.db").unlink()
    shutil.rmtree(server / "artifacts")
    assert "taken up from /irbis/tracking.tar.gz" in run("start").stdout
    with sqlite3.connect(server / "mlflow.db") as database:
        assert database.execute("select name from runs").fetchall() == [("champion",)]
    assert (server / "artifacts/1/model").read_text() == "weights"


def _member(name: str, **more: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info, content = tarfile.TarInfo(name), b"x"
    info.size = 0 if more else len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (_member("environment/bin/mlflow"), "environment/bin/mlflow"),
        (_member("artifacts/../environment/bin/mlflow"), "artifacts/../environment"),
        (_member("/artifacts/absolute"), "/artifacts/absolute"),
        (_member("artifacts/link", type=tarfile.SYMTYPE, linkname="/etc"), "artifacts/link -> /etc"),
    ],
)
def test_an_archive_with_anything_else_is_refused_and_nothing_of_it_is_unpacked(tracking, member, named):
    run, server, tmp_path = tracking
    before = (server / "environment/bin/mlflow").read_text()
    with tarfile.open(tmp_path / "kept", "w:gz") as archive:
        archive.addfile(*_member("mlflow.db"))
        archive.addfile(*member)
    done = run("start")
    assert done.returncode == 2 and "is not one that 'save' wrote: it holds " in done.stderr and named in done.stderr
    assert (server / "environment/bin/mlflow").read_text() == before
    assert sorted(path.name for path in server.iterdir()) == ["auth.ini", "environment", "password"]


def test_a_process_id_that_was_given_away_again_is_not_the_server(tracking):
    run, server, _ = tracking
    (server / "pid").write_text(str(os.getpid()))
    assert "started" in run("start").stdout
    assert (server / "pid").read_text().strip() != str(os.getpid())


def test_nothing_to_save_and_no_mlflow_are_said(tracking):
    run, server, _ = tracking
    assert "nothing to save" in run("save").stderr
    (server / "environment/bin/mlflow").unlink()
    assert "pip install 'mlflow[auth]==" in run("start").stderr
