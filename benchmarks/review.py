"""Time `irbis review` on 100,000 predictions: its start, a page of each queue, a decision, and its memory.

    python benchmarks/review.py [--images 100000] [--runs 5]

Writes synthetic tables with the package deltalake (needs `irbis[review]`), each image its own JPEG of a few hundred
bytes, and starts the command in a process of its own. Times are from outside, over HTTP. Start: from the start of the
process until it answers a request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FRAMES, STATIONS, BATCH = 3, 40, 20_000
QUEUES = ("review", "audit", "class&label=fox", "search&text=b0001")


def write_tables(workspace: Path, images: int) -> None:
    """Write images and predictions in commits of BATCH images, and the champion."""
    from pipelines import schemas
    from tests.review.made import Made, image_rows, prediction_rows, write_champion, write_table

    generator = np.random.default_rng(0)
    for start in range(0, images // FRAMES, BATCH // FRAMES):
        count = min(BATCH // FRAMES, images // FRAMES - start)
        fox = generator.beta(0.3, 0.9, count)
        bursts = [
            Made(f"b{start + i:07}", (p, p * 0.9, p * 0.8), bool(p > 0.3), f"g{(start + i) // 4}", f"S{i % STATIONS}")
            for i, p in enumerate(fox.tolist())
        ]
        write_table(workspace, "images", schemas.IMAGES, image_rows(bursts))
        write_table(workspace, "predictions", schemas.PREDICTIONS, prediction_rows(bursts))
    write_champion(workspace)


class Client:
    """A browser's requests, timed."""

    def __init__(self, url: str) -> None:
        _, port, key = re.match(r"http://([\d.]+):(\d+)/\?key=(\S+)", url).groups()
        self.port, self.cookie, self.token = int(port), "", ""
        first, _ = self.request("GET", f"/?key={key}")
        self.cookie = first.getheader("set-cookie").partition(";")[0]
        page, _ = self.request("GET", "/")
        self.token = re.search(r'data-token="([^"]+)"', page.body.decode())[1]

    def request(self, method: str, address: str, body: object = None) -> tuple[http.client.HTTPResponse, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Cookie": self.cookie, "Origin": f"http://127.0.0.1:{self.port}", "X-Irbis-Token": self.token}
        text = None if body is None else json.dumps(body)
        start = time.perf_counter()
        connection.request(method, address, text, headers | ({"Content-Type": "application/json"} if text else {}))
        response = connection.getresponse()
        response.body = response.read()
        assert response.status in (200, 303), response.body
        return response, time.perf_counter() - start


def start_server(workspace: Path, log: Path) -> tuple[subprocess.Popen[bytes], Client, float]:
    """Start the command; return it with a client, and the seconds until it answered."""
    command = [sys.executable, "-m", "pipelines.cli", "review", "--no-browser", "--workspace", str(workspace)]
    start = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    while not (found := re.search(r"http://\S+", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    client = Client(found[0])
    return process, client, time.perf_counter() - start


def memory(pid: int) -> float:
    """Return the peak resident memory in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time used so far: on a busy machine, what the start would take on an idle one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IRBIS_RUNS__HISTORY_DIR"] = f"{folder}/ledger"
        workspace = Path(folder, "workspace")
        workspace.mkdir()
        write_tables(workspace, options.images)
        starts, used, pages, posts, peaks = [], [], {queue: [] for queue in QUEUES}, [], []
        for run in range(options.runs):
            process, client, seconds = start_server(workspace, Path(folder, f"{run}.log"))
            starts.append(seconds)
            used.append(cpu_seconds(process.pid))
            items = []
            for queue in QUEUES:
                for _ in range(10):
                    answer, seconds = client.request("GET", f"/api/queue?open=1&count=20&queue={queue}")
                    pages[queue].append(seconds)
                items = items or json.loads(answer.body)["items"]
            for item in items:
                decision = {"id": str(uuid.uuid4()), "burst": item["burst"]}
                decision["contents"] = [frame["hash"] for frame in item["frames"]]
                decision |= {"action": "label", "label": "fox", "scope": "burst", "queue": "review", "seconds": 1}
                posts.append(client.request("POST", "/api/decisions", {"decisions": [decision]})[1])
            peaks.append(memory(process.pid))
            os.killpg(process.pid, 9)
            process.wait()
        print(f"{options.images:,} predictions, {options.runs} starts, {os.cpu_count()} cores")
        print(
            f"start     {statistics.median(starts):.2f} s (longest {max(starts):.2f}), {min(used):.2f} s of a processor"
        )
        for queue, times in pages.items():
            print(f"{queue:18} {1000 * statistics.median(times):.0f} ms (longest {1000 * max(times):.0f})")
        print(f"decision  {1000 * statistics.median(posts):.0f} ms (longest {1000 * max(posts):.0f})")
        print(f"memory    {max(peaks):.0f} MB")


if __name__ == "__main__":
    main()
