"""Measure a served model behind MLflow's server beside a plain torch and FastAPI server, on the same images.

    python benchmarks/serving.py FOLDER --weights mobilenet_v2.safetensors [--backbone mobilenet_v2] [--cores 1]
        [--seconds 20] [--rounds 3] [--clients 1 4] [--batch 1 8] [--side 0]

Each server has `--cores` cores of its own, the clients the others. Clients send base64 of the files (of images reduced
by `encode` with --side 448) as fast as answers come, to one server after the other. Printed: bytes of
the artifact, seconds from the start of the process to the first answer, images per second, and the 50th and 99th
percentile of a request's seconds. The plain server has the same network with random weights, of the same cost:
torchvision, Pillow, one resize, a linear layer; no limits, no failures, no flips.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PLAIN = """
import base64, io, sys
import torch, uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from torchvision.models import get_model
from torchvision.transforms.functional import normalize, pil_to_tensor

torch.set_num_threads(int(sys.argv[3]))
network = get_model(sys.argv[1], weights=None, num_classes=10).eval()
app = FastAPI()

def tensor(text):
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.draft("RGB", (448, 448))
    image = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return normalize(pil_to_tensor(image).float() / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

def run(texts):
    with torch.inference_mode():
        return torch.softmax(network(torch.stack([tensor(text) for text in texts])), 1).tolist()

@app.get("/ping")
def ping():
    return "ok"

@app.post("/invocations")
def predict(body: dict):
    return {"predictions": run([row[0] for row in body["dataframe_split"]["data"]])}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def write_served_model(folder: Path, backbone: str, weights: str | None) -> Path:
    """Write an MLflow model with a random head of ten labels; return its folder."""
    import numpy as np

    from pipelines.backbones import load_backbone
    from pipelines.evaluation.needs_review import ReviewRule
    from pipelines.evaluation.review_policy import ReviewPolicy
    from pipelines.serving.description import Limits
    from pipelines.serving.export import write_model
    from pipelines.serving.head import Head, Linear
    from pipelines.tracking import served_models
    from pipelines.tracking.served_files import MODEL

    loaded = load_backbone(backbone, weights=weights)
    width = {"irbis_tiny": 576, "mobilenet_v2": 1280, "squeezenet1_1": 512, "resnet50": 2048}[backbone]
    head = Head(Linear(np.random.default_rng(0).normal(size=(10, width)) / 10, np.zeros(10)), temperature=1.0)
    labels, rule = [f"label{i}" for i in range(10)], ReviewRule(0.99, "group", 0.8)
    limits = Limits(2**28, 10**8, 60.0)
    names = {"name": "irbis", "version": "1", "labels": labels, "policy": ReviewPolicy(max_weight=0.5)}
    write_model(folder / MODEL, head, [loaded], rule=rule, limits=limits, **names)
    served_models.save(folder / MODEL, folder / "mlflow", ["numpy"])
    return folder / "mlflow"


class Server:
    """A server in a process of its own, on cores of its own."""

    def __init__(self, command: Sequence[str], port: int, cores: set[int], log: Path) -> None:
        self.port, start = port, time.perf_counter()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": str(len(cores))}
        self.process = subprocess.Popen(
            command,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.log, self.started = log, start

    def wait(self) -> None:
        """Return when the server answers; raise RuntimeError with its log if it ends."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text()[-2000:])
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.request("GET", "/ping")
                return connection.getresponse().close()
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


def ask(connection: http.client.HTTPConnection, texts: Sequence[str]) -> float:
    """Send images and return the seconds until the whole answer is there."""
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}})
    start = time.perf_counter()
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    seconds = time.perf_counter() - start
    if response.status != 200 or len(json.loads(content)["predictions"]) != len(texts):
        raise RuntimeError(f"{response.status}: {content[:500]!r}")
    return seconds


def load(port: int, texts: Sequence[str], clients: int, batch: int, seconds: float) -> tuple[float, list[float]]:
    """Return images per second, and the seconds of every request, of clients that ask without pause."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection, at = http.client.HTTPConnection("127.0.0.1", port, timeout=300), number * 7
        while time.perf_counter() < end:
            times.append(ask(connection, [texts[(at + i) % len(texts)] for i in range(batch)]))
            at += batch

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return len(times) * batch / (time.perf_counter() - start), times


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(options: argparse.Namespace, folder: Path) -> None:
    from pipelines.serving.encode import encode

    files = sorted(path for path in Path(options.folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:200]
    texts = [
        encode(file, side=options.side) if options.side else base64.b64encode(file.read_bytes()).decode()
        for file in files
    ]
    model = write_served_model(folder, options.backbone, options.weights)
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    print(f"{len(files)} images, {sum(map(len, texts)) / len(texts) / 1000:.0f} kB of base64 each")
    print(f"artifact: {size / 1e6:.1f} MB, of which network {_size_of(model, 'graph.bin') / 1e6:.1f} MB")
    cores = sorted(os.sched_getaffinity(0))
    servers, others = set(cores[: options.cores]), set(cores[options.cores :]) or set(cores)
    os.sched_setaffinity(0, others)
    (folder / "plain.py").write_text(PLAIN)
    ports = {"irbis": free_port(), "torch": free_port()}
    serve = ["models", "serve", "--model-uri", str(model), "--env-manager", "local", "--port", str(ports["irbis"])]
    commands = {
        "irbis": [sys.executable, "-m", "mlflow", *serve],
        "torch": [sys.executable, str(folder / "plain.py"), options.backbone, str(ports["torch"]), str(len(servers))],
    }
    if options.backbone == "irbis_tiny":
        del commands["torch"]  # torchvision has no such network
    for name, command in commands.items():
        server = Server(command, ports[name], servers, folder / f"{name}.log")
        try:
            server.wait()
            ask(http.client.HTTPConnection("127.0.0.1", ports[name], timeout=300), texts[:1])
            print(f"{name}: first answer {time.perf_counter() - server.started:.2f} s after the start")
            load(ports[name], texts, 1, 1, min(3, options.seconds))  # warms caches
            for clients in options.clients:
                for batch in options.batch:
                    _print_load(
                        name,
                        [load(ports[name], texts, clients, batch, options.seconds) for _ in range(options.rounds)],
                        clients,
                        batch,
                    )
        finally:
            server.stop()


def _print_load(name: str, rounds: list[tuple[float, list[float]]], clients: int, batch: int) -> None:
    rates = [rate for rate, _ in rounds]
    times = sorted(seconds for _, all_seconds in rounds for seconds in all_seconds)
    p50, p99 = statistics.median(times), times[min(len(times) - 1, int(0.99 * len(times)))]
    spread = f"{min(rates):.1f} to {max(rates):.1f}"
    print(
        f"{name}: {clients} clients x {batch} images: {statistics.median(rates):.1f} images/s ({spread}), "
        f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms of {len(times)} requests",
        flush=True,
    )


def _size_of(folder: Path, name: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--side", type=int, default=0)
    with tempfile.TemporaryDirectory() as folder:
        measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()
