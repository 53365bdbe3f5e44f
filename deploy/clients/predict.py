"""Send images to an endpoint of irbis and print one JSON line per image. Needs Python 3.10 and Pillow, not irbis.

    IRBIS_TOKEN=... python predict.py https://HOST/serving-endpoints/irbis-prod/invocations photos/*.JPG

Images are turned upright and reduced first, from megabytes to 100 kB: an Azure ML endpoint takes 5 MB a second, all
clients together, and a request to Databricks at most 16 MB. `pipelines.serving.encode` does the same inside irbis.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

MAX_BODY = 3_000_000  # bytes of base64 per request
RETRIED = {429, 502, 503, 504}  # too many requests; an endpoint that is just starting
PAUSES = (1, 5, 20, 60)  # seconds before each retry


def encode(file: str, side: int) -> str:
    """Return an image as base64 of a JPEG without metadata, its shorter side reduced to `side` pixels."""
    with Image.open(file) as image:
        if image.mode.startswith(("I", "F")):  # more than 8 bits: the endpoint knows how to reduce them
            return base64.b64encode(Path(file).read_bytes()).decode("ascii")
        image.draft("RGB", (2 * side, 2 * side))  # decodes a JPEG at 1/2, 1/4 or 1/8: much faster
        image = ImageOps.exif_transpose(image)
        if image.mode != "RGB":
            image = image.convert("RGBA").convert("RGB") if image.mode in ("P", "LA") else image.convert("RGB")
        scale = min(1.0, side / min(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        buffer = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def batches(files: Sequence[str], side: int) -> Iterator[tuple[list[str], list[str]]]:
    """Yield files and their base64 in groups that fit into a request. A file that cannot be read is reported."""
    names: list[str] = []
    texts: list[str] = []
    for file in files:
        try:
            text = encode(file, side)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            print(json.dumps({"image": file, "failure": "unreadable", "failure_detail": str(error)}), flush=True)
            continue
        if texts and sum(map(len, texts)) + len(text) > MAX_BODY:
            yield names, texts
            names, texts = [], []
        names.append(file)
        texts.append(text)
    if texts:
        yield names, texts


def request_body(images: Sequence[str], url: str) -> dict[str, Any]:
    """Return the body that an endpoint expects: `/score` is Azure ML's own server, all others are MLflow's."""
    table: dict[str, Any] = {"columns": ["image"], "index": list(range(len(images))), "data": [[i] for i in images]}
    return {"input_data": table} if url.rstrip("/").endswith("/score") else {"dataframe_split": table}


def send(url: str, token: str, images: Sequence[str], timeout: float) -> list[dict[str, Any]]:
    """Return the rows of predictions, after retries. Raises OSError with the server's own words."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, json.dumps(request_body(images, url)).encode(), headers)
    for pause in (*PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer = json.load(response)
            return list(answer["predictions"] if isinstance(answer, dict) else answer)
        except urllib.error.HTTPError as error:
            if error.code not in RETRIED or pause is None:
                raise OSError(f"HTTP {error.code}: {error.read(500).decode('utf-8', 'replace')}") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            if pause is None:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="address for predictions; IRBIS_TOKEN is sent as bearer token")
    parser.add_argument("files", nargs="+", type=str, help="image files")
    parser.add_argument("--side", type=int, default=448, help="pixels of the shorter side (default: 448)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for an answer (default: 120)")
    options = parser.parse_args()
    if missing := [file for file in options.files if not Path(file).is_file()]:
        print(f"predict.py: no such file: {', '.join(map(ascii, missing))}", file=sys.stderr)
        return 2
    for names, images in batches(options.files, options.side):
        try:
            rows = send(options.url, os.environ.get("IRBIS_TOKEN", ""), images, options.timeout)
        except (OSError, KeyError, TypeError, ValueError) as error:
            print(f"predict.py: {error}", file=sys.stderr)
            return 1
        for name, row in zip(names, rows, strict=True):
            print(json.dumps({"image": name, **row}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
