"""Azurite, Microsoft's emulator of Blob Storage, as a process of the tests: `make azurite` fetches it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

MAIN = Path(__file__).resolve().parents[1] / ".tools/npm/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public


def why_not() -> str | None:
    """Return what is missing to start Azurite; None if nothing is."""
    if not shutil.which("node"):
        return "needs Node.js, to run Azurite"
    return None if MAIN.is_file() else "needs Azurite: make azurite"


@dataclass
class Azurite:
    """A running emulator; `endpoint` is the address of its one account."""

    port: int
    process: subprocess.Popen[bytes]
    scheme: str = "http"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"

    @classmethod
    def start(cls, folder: Path, *options: str, scheme: str = "http", port: int = 0) -> Azurite:
        """Start it on a port (0: a free one) with its data in memory, and wait until it listens."""
        port = port or free_port()
        command = ["node", str(MAIN), "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
        log = (folder / "azurite.log").open("wb")
        process = subprocess.Popen(
            [*command, "--silent", "--skipApiVersionCheck", *options], cwd=folder, stdout=log, stderr=log
        )
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return cls(port, process, scheme)
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"Azurite did not start: {(folder / 'azurite.log').read_text()}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def put_raw(container: Any, address: str, content: bytes) -> None:
    """Store a blob under a name as it is written in an address: clients would resolve its segments `.` and `..`."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    signature = generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(create=True, write=True),
        expiry="2099-01-01",
    )
    connection = HTTPConnection("127.0.0.1", int(container.url.split(":")[2].partition("/")[0]))
    path = f"/{ACCOUNT}/{container.container_name}/{address}?{signature}"
    connection.request("PUT", path, body=content, headers={"x-ms-blob-type": "BlockBlob"})
    response = connection.getresponse()
    assert response.status == 201, response.read()
