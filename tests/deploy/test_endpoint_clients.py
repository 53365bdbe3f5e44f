"""The examples of clients: what they send, and what they do with answers and faults."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image

from tests.http_server import Server, serving

pytestmark = pytest.mark.process
CLIENTS = Path(__file__).resolve().parents[2] / "deploy" / "clients"
# ImageMagick, as far as the script uses it: stdin is turned upright, reduced, and written to the last argument.
MAGICK = f"""#!{sys.executable}
import io, sys
from PIL import Image, ImageOps
side = int(sys.argv[sys.argv.index("-resize") + 1].split("x")[0])
image = ImageOps.exif_transpose(Image.open(io.BytesIO(sys.stdin.buffer.read()))).convert("RGB")
scale = min(1, side / min(image.size))
image.resize([round(n * scale) for n in image.size]).save(sys.argv[-1].removeprefix("jpg:"), "JPEG")
"""


class Endpoint(BaseHTTPRequestHandler):
    """Answer one row per image, in the form of the server that the path names; 503 at first if the path says so."""

    bodies: list[dict] = []  # noqa: RUF012
    tokens: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        self.tokens.append(self.headers["Authorization"])
        status = 503 if self.path.startswith("/starting") and len(self.bodies) == 1 else 200
        status = 401 if self.path.startswith("/closed") else status
        (table,) = body.values()
        rows = [{"prediction": "fox", "failure": ""} for _ in table["data"]]
        answer = rows if self.path.endswith("/score") else {"predictions": rows}
        content = json.dumps(answer if status == 200 else {"message": "not now"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def endpoint():
    Endpoint.bodies, Endpoint.tokens = [], []
    with serving(Server(Endpoint)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "a b é.jpg"
    Image.new("RGB", (1600, 1200), (200, 10, 10)).save(file, exif=exif)
    return file


def run(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "IRBIS_TOKEN": "t0ken", **variables}
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=cwd, env=environment)


def sent_image(table: dict, row: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(table["data"][row][0], validate=True)))


@pytest.mark.parametrize(("path", "form"), [("/score", "input_data"), ("/invocations", "dataframe_split")])
def test_both_send_the_same_small_upright_image_in_the_form_of_the_server(endpoint, photo, tmp_path, path, form):
    magick = tmp_path / "bin" / "magick"
    magick.parent.mkdir()
    magick.write_text(MAGICK)
    magick.chmod(0o755)
    path_variable = f"{magick.parent}:{os.environ['PATH']}"
    by_shell = run("sh", CLIENTS / "predict.sh", endpoint + path, photo, cwd=tmp_path, PATH=path_variable)
    by_python = run(sys.executable, CLIENTS / "predict.py", endpoint + path, photo, cwd=tmp_path)
    assert by_shell.returncode == by_python.returncode == 0, by_shell.stderr + by_python.stderr
    assert json.loads(by_python.stdout) == {"image": str(photo), "prediction": "fox", "failure": ""}
    answer = json.loads(by_shell.stdout)
    assert (answer if form == "input_data" else answer["predictions"])[0]["prediction"] == "fox"
    assert [list(body) for body in Endpoint.bodies] == [[form], [form]]
    for body in Endpoint.bodies:
        assert body[form]["columns"] == ["image"] and body[form]["index"] == [0]
        image = sent_image(body[form])
        assert image.size == (448, 597) and not image.getexif()
    assert Endpoint.tokens == ["Bearer t0ken"] * 2


def test_many_images_go_in_requests_that_fit_and_a_bad_one_is_a_row(endpoint, photo, tmp_path):
    noise = Image.frombytes("RGB", (1000, 1000), os.urandom(3_000_000))
    files = [tmp_path / f"noise{i}.jpg" for i in range(6)]
    for file in files:
        noise.save(file, quality=95)
    (tmp_path / "broken.jpg").write_bytes(b"<html>")
    done = run(
        sys.executable, CLIENTS / "predict.py", endpoint, *files, "broken.jpg", photo, "--side=900", cwd=tmp_path
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(rows) == 8
    assert [row["image"] for row in rows if row["failure"]] == ["broken.jpg"]
    sizes = [len(json.dumps(body)) for body in Endpoint.bodies]
    assert len(sizes) > 1 and max(sizes) < 3_100_000


def test_an_endpoint_that_is_starting_is_asked_again_and_one_that_refuses_is_not(endpoint, photo, tmp_path):
    done = run(sys.executable, CLIENTS / "predict.py", f"{endpoint}/starting", photo, cwd=tmp_path)
    assert done.returncode == 0 and len(Endpoint.bodies) == 2
    done = run(sys.executable, CLIENTS / "predict.py", f"{endpoint}/closed", photo, cwd=tmp_path)
    assert (done.returncode, len(Endpoint.bodies)) == (1, 3)
    assert done.stderr == 'predict.py: HTTP 401: {"message": "not now"}\n'


def test_wrong_arguments_are_explained(tmp_path):
    done = run(sys.executable, CLIENTS / "predict.py", "http://127.0.0.1:1", "none\x1b.jpg", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "predict.py: no such file: 'none\\x1b.jpg'\n")
    assert run("sh", CLIENTS / "predict.sh", "http://127.0.0.1:1", cwd=tmp_path).returncode == 2
