"""A run that a real spark-submit starts on this machine: nobody else reaches it, and nobody sees its secrets."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ..stages.conftest import jpeg
from .conftest import COMMAND, closing_lines

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux who listens")
PASSWORD = "hunter22"
CHOSEN = {"spark.hadoop.reader.password": PASSWORD, "spark.driver.memory": "1g", "spark.sql.shuffle.partitions": "2"}


def family(process: int) -> list[int]:
    """Return the processes of the session of a run's spark-submit."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == process:
                found.append(int(folder.name))
        except ProcessLookupError:
            continue
    return found


def listening(pid: int) -> set[str]:
    """Return the addresses at which a process listens."""
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *more = line.split()
            if state == "0A" and more[5] in own:
                number = bytes.fromhex(local.partition(":")[0])
                words = b"".join(number[i : i + 4][::-1] for i in range(0, len(number), 4))
                found.add(socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words))
    return found


def test_a_run_on_a_local_master_listens_to_this_machine_alone_and_shows_no_secret(irbis, tmp_path):
    for number in range(8):
        (tmp_path / "survey" / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / "survey" / f"{number}.jpg").write_bytes(jpeg(90, number))
    chosen = [f"--set=spark.conf.{name}={value}" for name, value in CHOSEN.items()]
    words = ["--images", str(tmp_path / "survey"), "--labels", "none", "--workspace", str(tmp_path / "w"), *chosen]
    client = subprocess.Popen(
        [*COMMAND, "submit", "ingest", "--on", "local[2]", "--follow", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    addresses, arguments, modes = set(), set(), set()
    while client.poll() is None:
        time.sleep(0.1)
        for folder in (tmp_path / "ledger").glob("*/pid"):
            for pid in family(json.loads(folder.read_text() or '{"pid": 0}')["pid"]):
                try:
                    addresses |= listening(pid)
                    arguments.add(Path(f"/proc/{pid}/cmdline").read_text())
                    modes.add(oct((folder.parent / "spark.properties").stat().st_mode)[-3:])
                except (OSError, ProcessLookupError):  # ended meanwhile
                    continue
    out, err = client.communicate()
    assert client.returncode == 0, err[-3000:]
    assert "8 read, 8 written, 0 failed" in closing_lines(out)["ingest"]

    shown = {each.removeprefix("::ffff:") for each in addresses}
    assert shown and all(ipaddress.ip_address(each).is_loopback for each in shown), shown
    assert any("spark.authenticate=true" in each for each in arguments) and modes == {"600"}
    assert not any(PASSWORD in each for each in arguments)

    (folder,) = (tmp_path / "ledger").glob("*/")
    assert not (folder / "spark.properties").exists() and oct(folder.stat().st_mode)[-3:] == "700"
    (entry,) = (tmp_path / "ledger").glob("*.json")
    kept = json.loads(entry.read_text())["settings"]["spark.conf"]
    assert kept == {name: value for name, value in CHOSEN.items() if value != PASSWORD}
    told = "spark.conf.spark.hadoop.reader.password is a secret and is not recorded. Set it again for `irbis repeat`."
    assert told in err.splitlines()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10 and not [path for path in files if PASSWORD.encode() in path.read_bytes()]
